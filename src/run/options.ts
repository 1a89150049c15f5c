import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import { findDriver } from '../agent/index.ts'
import { didYouMean } from '../core/closest.ts'
import { usageError } from '../core/errors.ts'
import { checkKubernetesSpec } from '../image/index.ts'
import { checkKernelSpec } from '../kernels/index.ts'
import type { Accel } from '../machine/types.ts'
import { parseFlags } from './flags.ts'
import { projectDir } from './places.ts'

/** What `npm run e2e` was asked to do; every name in it is known to exist. */
export interface E2eOptions {
  /** Kernels to run on, one after the other: catalogue lines, paths, or `name=path`. */
  readonly kernels: readonly string[]
  readonly modules?: string
  /** Kernels that no known key signs are taken, recorded, and held to from then on. */
  readonly trustOnFirstUse: boolean
  readonly agent: string
  /** Seeded fault of the agent, when its driver knows any. */
  readonly fault?: string
  /** Version, folder, or absent for Debian's 1.20.2. */
  readonly kubernetes?: string
  /** Suites to run, names without `.test.ts`; empty = all. */
  readonly suites: readonly string[]
  /** Only tests whose name matches this pattern. */
  readonly test?: string
  readonly nodes: number
  readonly memoryMiB: number
  readonly cpus: number
  readonly accel?: Accel
  readonly keep: boolean
}

/** Names of the suites there are. */
export const suiteNames = (): string[] =>
  readdirSync(join(projectDir, 'suites')).filter((file) => file.endsWith('.test.ts')).map((file) => file.replace(/\.test\.ts$/, '')).sort()

const collect = (value: string, previous: string[]): string[] => [...previous, ...value.split(',').map((part) => part.trim()).filter(Boolean)]

const whole = (min: number, max: number) => (value: string): number => {
  const n = Number(value)
  if (!Number.isInteger(n) || n < min || n > max) throw new InvalidArgumentError(`takes a whole number from ${min} to ${max}.`)
  return n
}

function command(): Command {
  return new Command('npm run e2e --')
    .description('Boots machines on a kernel, brings up Kubernetes and the agent, runs the suites, and reports.')
    .option('--kernel <name|path>', 'catalogue line (6.1), a path (bzImage, vmlinux, .deb, kernel build), or name=path; repeatable', collect, [])
    .option('--modules <dir>', "the given kernel's lib/modules/<release> folder, or its package")
    .option('--trust-on-first-use', 'take a kernel that no known key signs, record its digest, and hold its source to it', false)
    .option('--agent <name>', 'agent driver', 'lash')
    .option('--fault <name>', 'build the agent with one seeded fault')
    .option('--kubernetes <version|dir>', "Kubernetes release or folder of binaries (default: Debian's 1.20.2, built once)")
    .option('--suite <name>', 'run only this suite; repeatable', collect, [])
    .option('-t, --test <pattern>', 'run only tests whose name matches')
    .option('--nodes <n>', 'number of machines', whole(1, 9), 2)
    .option('--memory <MiB>', 'memory of a machine', whole(512, 65536), 1536)
    .option('--cpus <n>', 'CPUs of a machine', whole(1, 16), 2)
    .addOption(new Option('--accel <kind>', 'force acceleration instead of probing').choices(['kvm', 'tcg']))
    .option('--keep', 'leave the cluster up (npm run shell, kubectl, down)', false)
    .allowExcessArguments(false)
}

/**
 * Parses the command line. Throws KernelbedError (usage, exit 2) for an unknown flag, kernel, suite, agent or fault, naming the nearest
 * known one; nothing has been started then. Returns undefined when help was asked for.
 */
export function parseE2e(argv: readonly string[]): E2eOptions | undefined {
  const parsed = parseFlags(command(), argv)
  if (!parsed) return undefined
  const raw = parsed.opts<{ kernel: string[]; modules?: string; trustOnFirstUse: boolean; agent: string; fault?: string; kubernetes?: string; suite: string[]; test?: string; nodes: number; memory: number; cpus: number; accel?: Accel; keep: boolean }>()
  const kernels = raw.kernel.length ? raw.kernel : ['6.1']
  for (const spec of kernels) checkKernelSpec(spec, raw.modules === undefined ? {} : { modules: raw.modules })
  const known = suiteNames()
  for (const suite of raw.suite) if (!known.includes(suite)) throw usageError(`unknown suite "${suite}"${didYouMean(suite, known)}`, `suites: ${known.join(', ')}`)
  const driver = findDriver(raw.agent)
  if (raw.fault !== undefined) {
    const { faults } = driver
    if (!faults.includes(raw.fault)) throw usageError(`unknown fault "${raw.fault}" of agent ${raw.agent}${didYouMean(raw.fault, faults)}`, faults.length ? `faults: ${faults.join(', ')}` : `the driver ${raw.agent} has no seeded faults`)
  }
  checkKubernetesSpec(raw.kubernetes)
  return {
    kernels,
    agent: raw.agent,
    suites: raw.suite,
    nodes: raw.nodes,
    memoryMiB: raw.memory,
    cpus: raw.cpus,
    keep: raw.keep,
    trustOnFirstUse: raw.trustOnFirstUse,
    ...(raw.modules === undefined ? {} : { modules: raw.modules }),
    ...(raw.fault === undefined ? {} : { fault: raw.fault }),
    ...(raw.kubernetes === undefined ? {} : { kubernetes: raw.kubernetes }),
    ...(raw.test === undefined ? {} : { test: raw.test }),
    ...(raw.accel === undefined ? {} : { accel: raw.accel }),
  }
}
