import { existsSync } from 'node:fs'
import { z } from 'zod'
import { didYouMean } from '../core/closest.ts'
import { KernelbedError } from '../core/errors.ts'
import { AbortedError } from '../core/wait.ts'
import { capabilityNames } from './capabilities.ts'
import type { AgentDriver, FoundAgent, InstallPlan } from './driver.ts'
import { agentHandleSchema } from './handle.ts'

const minute = 60_000

/** How long a driver's own code may take, milliseconds. Images may be built in it. */
const deadlines = { load: minute, prepareImages: 60 * minute, needsEtcd: 10 * minute, plan: 10 * minute, refine: 5 * minute, ask: 5 * minute }

/** Phases in which nothing has been started. */
const beforehand = ['check', 'prepareImages', 'needsEtcd']

type Handle = InstallPlan['handle']

const method = z.custom<(...args: never[]) => unknown>((value) => typeof value === 'function', 'must be a function')
const handleSchema = agentHandleSchema.omit({ driver: true }).strict()
const planSchema = z.strictObject({ manifests: z.string().min(1), handle: z.unknown(), notes: z.array(z.string()).optional(), refine: method.optional() })
const foundSchema = z.strictObject({ handle: z.unknown(), ask: method.optional() })
const imagesSchema = z.array(z.object({ ref: z.string().min(1), path: z.string().refine(existsSync, 'there is no such file'), digest: z.string().min(1) }))

/**
 * A driver of somebody's own (`spec`, as `--agent` has it): what its code throws, answers wrongly or never answers is one KernelbedError that names the phase, the driver and the place in
 * its file. Usage errors of what runs before anything is started (`check`, `prepareImages`, `needsEtcd`) stay what they are.
 */
export function guarded(driver: AgentDriver, spec: string): AgentDriver {
  const own = new OwnCode(spec)
  const handleOf = (phase: string, value: unknown): Handle => own.answer(phase, asHandle(value, `${phase}: handle`))
  return {
    ...driver, name: driver.name,
    prepareImages: async (ctx, options, kubernetes) => own.parsed('prepareImages', imagesSchema, await own.wait('prepareImages', ctx.signal, () => driver.prepareImages(ctx, options, kubernetes))),
    plan: async (cluster, ctx, options) => {
      const made = own.parsed('plan', planSchema, await own.wait('plan', ctx.signal, () => driver.plan(cluster, ctx, options))) as InstallPlan
      return {
        ...made, handle: handleOf('plan', made.handle),
        ...(made.refine ? { refine: async (exec) => handleOf('refine', await own.wait('refine', ctx.signal, () => made.refine!(exec))) } : {}),
      }
    },
    ...(driver.needsEtcd ? { needsEtcd: async (ctx, options, kubernetes) => own.parsed('needsEtcd', z.boolean(), await own.wait('needsEtcd', ctx.signal, async () => driver.needsEtcd!(ctx, options, kubernetes))) } : {}),
    ...(driver.check ? { check: (options) => own.run('check', () => driver.check!(options)) } : {}),
    ...(driver.installDigest ? { installDigest: (options) => own.parsed('installDigest', z.string().min(1), own.run('installDigest', () => driver.installDigest!(options))) } : {}),
    ...(driver.find ? {
      find: (options): FoundAgent => {
        const found = own.parsed('find', foundSchema, own.run('find', () => driver.find!(options))) as FoundAgent
        return { handle: handleOf('find', found.handle), ...(found.ask ? { ask: async (run) => handleOf('ask', await own.wait('ask', undefined, () => found.ask!(run))) } : {}) }
      },
    } : {}),
  }
}

/** Loads a driver's file. Throws what loading it threw, or that it does not come to an end. */
export const loadOwn = (spec: string, load: () => Promise<unknown>): Promise<unknown> => within(`loading ${spec}`, deadlines.load, undefined, load)

/** A handle as it is saved, or in words what is wrong with it. What JSON leaves out does not count. */
function asHandle(value: unknown, what: string): Handle | Error {
  const saved: unknown = JSON.parse(JSON.stringify(value ?? null))
  const capabilities = (saved as { capabilities?: object } | null)?.capabilities
  const unknown = Object.keys(capabilities ?? {}).find((name) => !(capabilityNames as readonly string[]).includes(name))
  if (unknown !== undefined) return new Error(`${what}: no agent can have the capability "${unknown}"${didYouMean(unknown, capabilityNames)}`)
  const parsed = handleSchema.safeParse(saved)
  return parsed.success ? parsed.data : new Error(`${what} is not that of an agent:\n${z.prettifyError(parsed.error)}`)
}

/** The code of one driver. */
class OwnCode {
  readonly #spec: string

  constructor(spec: string) {
    this.#spec = spec
  }

  /** Runs what answers at once. */
  run<T>(phase: string, body: () => T): T {
    let answer: T
    try {
      answer = body()
    } catch (cause) {
      throw this.#failed(phase, cause)
    }
    if (!(answer instanceof Promise)) return answer
    answer.catch(() => undefined)
    throw this.#failed(phase, new Error(`${phase} must answer at once, not by a promise`))
  }

  async wait<T>(phase: keyof typeof deadlines, signal: AbortSignal | undefined, body: () => Promise<T>): Promise<T> {
    try {
      return await within(`${phase} of ${this.#spec}`, deadlines[phase], signal, body)
    } catch (cause) {
      throw cause instanceof AbortedError || signal?.aborted ? cause : this.#failed(phase, cause)
    }
  }

  parsed<T>(phase: string, schema: z.ZodType<T>, value: unknown): T {
    const parsed = schema.safeParse(value)
    return this.answer(phase, parsed.success ? parsed.data : new Error(`its answer is not what ${phase} must answer:\n${z.prettifyError(parsed.error)}`))
  }

  answer<T>(phase: string, value: T | Error): T {
    if (value instanceof Error) throw this.#failed(phase, value)
    return value
  }

  #failed(phase: string, cause: unknown): KernelbedError {
    if (beforehand.includes(phase) && cause instanceof KernelbedError && cause.blame === 'usage') return cause
    const told = cause instanceof KernelbedError
    const [message, ...more] = told ? [] : (cause instanceof Error ? cause.message : String(cause)).split('\n')
    const details = [...more.filter((line) => line.trim() !== ''), ...placeOf(cause, this.#spec)].join('\n')
    return new KernelbedError(`the driver ${this.#spec} failed in ${phase}${message === undefined ? '' : `: ${message}`}`, {
      blame: 'agent', ...(details === '' ? {} : { details }), ...(told ? { cause } : {}),
      hint: `${phase} is the driver's own code (docs/agents.md); ${['find', 'ask'].includes(phase) ? 'nothing was changed' : 'what it had made is removed with the run'}`,
    })
  }
}

/** Where in the driver's file an error came up: `at my-driver.ts:12:9`; nothing where that is not known. */
export function placeOf(cause: unknown, spec: string): string[] {
  const name = spec.split('/').at(-1) ?? spec
  const line = cause instanceof Error && !(cause instanceof KernelbedError) ? cause.stack?.split('\n').find((each) => each.includes(`/${name}:`)) : undefined
  const place = line === undefined ? undefined : /:(\d+(:\d+)?)\)?$/.exec(line)?.[1]
  return place === undefined ? [] : [`at ${name}:${place}`]
}

/** Ends the wait, not what is waited for: that is somebody else's code. */
async function within<T>(what: string, timeoutMs: number, signal: AbortSignal | undefined, body: () => Promise<T>): Promise<T> {
  if (signal?.aborted) throw new AbortedError(what)
  let timer: NodeJS.Timeout | undefined
  let stop: (() => void) | undefined
  const ended = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs / minute} min`)), timeoutMs)
    stop = () => reject(new AbortedError(what))
    signal?.addEventListener('abort', stop, { once: true })
  })
  try {
    return await Promise.race([Promise.resolve().then(body), ended])
  } finally {
    clearTimeout(timer)
    if (stop) signal?.removeEventListener('abort', stop)
  }
}
