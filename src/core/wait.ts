import { setTimeout as delay } from 'node:timers/promises'
import { KernelbedError, type Blame } from './errors.ts'

export interface WaitOptions {
  /** What is waited for, as it appears in the error: `node1 to be Ready`. */
  readonly name: string
  readonly timeoutMs: number
  /** Pause between probes. Default 100 ms. */
  readonly intervalMs?: number
  readonly signal?: AbortSignal
  readonly blame?: Blame
  readonly hint?: string
  /** Extra evidence gathered when the deadline passes. */
  readonly evidence?: () => string | Promise<string>
}

/** What a probe answers: `done` with a value, or what it saw instead. */
export type Probe<T> = { readonly done: T } | { readonly seen: string }

/** A deadline passed. `log` holds each distinct thing seen, with the time it was first seen. */
export class WaitTimeoutError extends KernelbedError {
  readonly log: readonly string[]

  constructor(options: WaitOptions, log: readonly string[], evidence: string) {
    super(`gave up waiting for ${options.name} after ${(options.timeoutMs / 1000).toFixed(1)} s`, {
      blame: options.blame ?? 'host',
      ...(options.hint === undefined ? {} : { hint: options.hint }),
      details: [...(log.length ? ['seen while waiting:', ...log.slice(-12).map((line) => `  ${line}`)] : ['nothing was seen']), evidence].filter(Boolean).join('\n'),
    })
    this.name = 'WaitTimeoutError'
    this.log = log
  }
}

/** The run was stopped (Ctrl-C or a failure elsewhere). */
export class AbortedError extends KernelbedError {
  constructor(what: string) {
    super(`stopped while waiting for ${what}`, { blame: 'host' })
    this.name = 'AbortedError'
  }
}

/**
 * Probes until the condition holds. A probe that throws a KernelbedError ends the wait with it (it has judged that waiting is of no use);
 * any other error counts as something seen. Throws WaitTimeoutError at the deadline, AbortedError when the signal fires.
 */
export async function waitFor<T>(options: WaitOptions, probe: () => Promise<Probe<T>> | Probe<T>): Promise<T> {
  const start = performance.now()
  const log: string[] = []
  let last = ''
  for (;;) {
    if (options.signal?.aborted) throw new AbortedError(options.name)
    const seen = await once(probe)
    if ('done' in seen) return seen.done
    if (seen.seen !== last) log.push(`${((performance.now() - start) / 1000).toFixed(1)} s: ${(last = seen.seen)}`)
    if (performance.now() - start >= options.timeoutMs) throw new WaitTimeoutError(options, log, (await options.evidence?.()) ?? '')
    await delay(options.intervalMs ?? 100, undefined, options.signal ? { signal: options.signal } : {}).catch(() => undefined)
  }
}

async function once<T>(probe: () => Promise<Probe<T>> | Probe<T>): Promise<Probe<T>> {
  try {
    return await probe()
  } catch (error) {
    if (error instanceof KernelbedError && error.name === 'KernelbedError') throw error
    return { seen: withCause(error) }
  }
}

/** `fetch failed: connect ECONNREFUSED 127.0.0.1:6443`: the cause is what tells. */
function withCause(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error && !error.message.includes(error.cause.message) ? `${error.message}: ${error.cause.message}` : error.message
}
