import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { z } from 'zod'
import { didYouMean } from '../core/closest.ts'
import { usageError } from '../core/errors.ts'
import type { AgentDriver, AgentOptions, SeededFault } from './driver.ts'
import { cilium } from './cilium.ts'
import { guarded, loadOwn, placeOf } from './guard.ts'
import { lash } from './lash.ts'
import { plainCni } from './plain-cni.ts'

const drivers: readonly AgentDriver[] = [lash, cilium, plainCni]

/** What `--agent` is when it is not given. */
export const defaultAgent = lash.name

/** Names for `--agent`. */
export const driverNames = (): readonly string[] => drivers.map(({ name }) => name)

/** What begins like a path or ends like a program is a file, never a name. */
const isFile = (spec: string): boolean => /^[./~]|[/\\]|\.[cm]?[jt]s$/.test(spec)

/** `--agent` as it means the same in every folder and process: a name, or the whole path of a driver's file. */
export const driverSpec = (spec: string): string => (isFile(spec) ? resolve(spec) : spec)

/** The driver of a name, or of a file whose default export it is. Throws a usage error: for a name with the nearest one, for a file with what is wrong with it. */
export async function loadDriver(spec: string): Promise<AgentDriver> {
  if (isFile(spec)) return fromFile(resolve(spec), spec)
  const driver = drivers.find(({ name }) => name === spec)
  if (!driver) throw usageError(`unknown agent "${spec}"${didYouMean(spec, driverNames())}`, `agents: ${driverNames().join(', ')}, or a driver of your own by its file: --agent ./my-driver.ts`)
  return driver
}

const method = z.custom<(...args: never[]) => unknown>((value) => typeof value === 'function', 'must be a function')
const fault = z.strictObject({ name: z.string(), does: z.string(), caughtBy: z.array(z.string()), settings: z.record(z.string(), z.string()).optional() })
const setting = z.strictObject({ description: z.string(), values: z.array(z.string()).optional() })

/** Keys that nobody knows are errors: a misspelt one would be left out in silence. */
const driverSchema = z.strictObject({
  name: z.string().min(1), faults: z.array(fault).optional(), takes: z.array(z.enum(['manifests', 'images'])).optional(), options: z.record(z.string(), setting).optional(), memoryMiB: z.int().positive().optional(),
  refusal: z.looseObject({ fatal: z.instanceof(RegExp), minimal: z.string(), exitCode: z.number() }).optional(),
  find: method.optional(), check: method.optional(), needsEtcd: method.optional(), prepareImages: method, installDigest: method.optional(), plan: method,
})

const hint = 'a driver is the default export of its file: src/agent/driver.ts has its type (AgentDriver), docs/agents.md an example'

async function fromFile(path: string, spec: string): Promise<AgentDriver> {
  if (!existsSync(path)) throw usageError(`--agent ${spec}: there is no such file`, hint)
  let loaded: { readonly default?: unknown }
  try {
    loaded = await loadOwn(spec, () => import(pathToFileURL(path).href)) as typeof loaded
  } catch (error) {
    throw usageError([`--agent ${spec} cannot be loaded: ${error instanceof Error ? error.message : String(error)}`, ...placeOf(error, spec)].join(' '), hint)
  }
  if (loaded.default === undefined) throw usageError(`--agent ${spec} has no default export`, hint)
  const checked = driverSchema.safeParse(loaded.default)
  if (!checked.success) throw usageError(`--agent ${spec} is no agent driver:\n${z.prettifyError(checked.error)}`, hint)
  return guarded(loaded.default as AgentDriver, spec)
}

/** The seeded fault of a name. Throws a usage error with the nearest one. */
export function findFault({ name, faults = [] }: AgentDriver, wanted: string): SeededFault {
  const names = faults.map((each) => each.name)
  const found = faults.find((each) => each.name === wanted)
  if (!found) throw usageError(`unknown fault "${wanted}" of agent ${name}${didYouMean(wanted, names)}`, names.length ? `faults: ${names.join(', ')}` : `the driver ${name} has no seeded faults`)
  return found
}

/** Throws a usage error for options that a driver does not take. `found`: the agent is not to be installed, and what that takes is not asked for. */
export function checkAgentOptions(driver: AgentDriver, options: AgentOptions, { found = false } = {}): void {
  const { takes = [], options: known = {} } = driver
  const { fault, manifests = [], images = [], settings = {} } = options
  if (fault !== undefined) findFault(driver, fault)
  if (manifests.length && !takes.includes('manifests')) throw usageError(`--agent-manifests: ${driver.name} brings its own`, 'leave the flag out')
  if (images.length && !takes.includes('images')) throw usageError(`--agent-image: ${driver.name} makes its own`, 'leave the flag out')
  for (const [name, value] of Object.entries(settings)) {
    const names = Object.keys(known)
    const values = known[name]?.values
    if (!known[name]) throw usageError(`--agent-option ${name}: ${driver.name} has no such option${didYouMean(name, names)}`, names.length ? `its options: ${names.map((each) => `${each} (${known[each]!.description})`).join(', ')}` : 'it has none')
    if (values && !values.includes(value)) throw usageError(`--agent-option ${name}=${value}: takes ${values.join(', ')}${didYouMean(value, values)}`)
  }
  if (!found) driver.check?.(options)
}
