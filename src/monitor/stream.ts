import { setTimeout as delay } from 'node:timers/promises'
import { MonitorParser } from './parse.ts'
import type { MonitorEvent } from './types.ts'

/** Where monitor lines come from: a command running on a node. */
export interface LineSource {
  onLine(listener: (line: string) => void): void
  /** Resolves with the exit code when the source ends. */
  readonly done: Promise<number | undefined>
  stop(): Promise<void>
}

/** An event with its place in the node's log. */
export interface LoggedEvent { readonly index: number; readonly event: MonitorEvent }

/** What a part of the log holds, and what is known to be missing from it. */
export interface Slice {
  readonly events: readonly MonitorEvent[]
  /** Why this part is not complete; empty when it is. */
  readonly gaps: readonly string[]
}

export interface StreamOptions {
  /** Events kept; older ones are dropped, and a slice that reaches behind them has a gap. Default 200,000. */
  readonly capacity?: number
  /** Each event as it came, its line in `raw`, for artefacts. */
  readonly onEvent?: (event: MonitorEvent) => void
}

/**
 * The monitor of one node: a bounded log of events in order of arrival. That order is the order of happening for one CPU (a perf ring each), not
 * between CPUs. An end of the stream, and samples that the agent says it lost, are gaps in the log.
 */
export class MonitorStream {
  readonly node: string
  #source: LineSource
  #ended: string | undefined
  readonly #events: MonitorEvent[] = []
  /** Index of #events[0]. */
  #first = 0
  readonly #gaps: { readonly index: number; readonly text: string }[] = []
  readonly #waiters = new Set<() => void>()
  readonly #capacity: number
  readonly #onEvent: ((event: MonitorEvent) => void) | undefined

  constructor(node: string, source: LineSource, options: StreamOptions = {}) {
    this.node = node
    this.#source = source
    this.#capacity = options.capacity ?? 200_000
    this.#onEvent = options.onEvent
    this.#read(source)
  }

  #read(source: LineSource): void {
    const parser = new MonitorParser()
    source.onLine((line) => {
      for (const event of parser.push(line)) this.#add({ ...event, node: this.node })
    })
    void source.done.then((code) => {
      for (const event of parser.flush()) this.#add({ ...event, node: this.node })
      if (source === this.#source) this.#end(`the monitor of ${this.node} ended${code === undefined ? '' : ` with exit code ${code}`}${this.#lastWords()}`)
    }, (error: unknown) => this.#end(`the monitor of ${this.node} broke off: ${String(error)}`))
  }

  #add(event: MonitorEvent): void {
    if (event.type === 'header' || event.type === 'layer') return
    this.#onEvent?.(event)
    if (event.type === 'lost') this.#gaps.push({ index: this.next, text: `CPU ${event.cpu ?? '?'} of ${this.node} lost ${event.count} events` })
    this.#events.push(event)
    if (this.#events.length > this.#capacity) this.#first += this.#events.splice(0, Math.ceil(this.#capacity / 10)).length
    this.#wake()
  }

  #end(text: string): void {
    this.#ended = text
    this.#gaps.push({ index: this.next, text })
    this.#wake()
  }

  #wake(): void {
    for (const wake of this.#waiters) wake()
  }

  /** What it printed last that was no event: an error message, as a rule. */
  #lastWords(): string {
    const words = this.#events.slice(-5).flatMap((event) => (event.type === 'unparsed' ? [event.raw] : []))
    return words.length ? `: ${words.join(' | ')}` : ''
  }

  /** Index that the next event will have. */
  get next(): number {
    return this.#first + this.#events.length
  }

  /** Why the stream ended, if it did. */
  get ended(): string | undefined {
    return this.#ended
  }

  /** Goes on with another source after the old one ended (the agent was restarted); the gap stays in the log. */
  async resume(source: LineSource): Promise<void> {
    const old = this.#source
    this.#source = source
    await old.stop()
    if (this.#ended === undefined) this.#gaps.push({ index: this.next, text: `the monitor of ${this.node} was opened again` })
    this.#ended = undefined
    this.#read(source)
  }

  /** Events from index `from` up to, without, `to`. A gap counts when it lies in between. */
  slice(from: number, to: number = this.next): Slice {
    const gaps = this.#gaps.filter(({ index }) => index >= from && index <= to).map(({ text }) => text)
    if (from < this.#first) gaps.unshift(`${this.#first - from} events of ${this.node} were too old to be kept`)
    return { events: this.#events.slice(Math.max(0, from - this.#first), Math.max(0, to - this.#first)), gaps }
  }

  /** Events from `from` on with their indices. */
  logged(from: number): LoggedEvent[] {
    return this.slice(from).events.map((event, i) => ({ index: Math.max(from, this.#first) + i, event }))
  }

  /** Resolves at the next event or end, or after `timeoutMs`. */
  async changed(timeoutMs: number): Promise<void> {
    const abort = new AbortController()
    await Promise.race([
      new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiters.delete(wake)
          resolve()
        }
        this.#waiters.add(wake)
        abort.signal.addEventListener('abort', () => this.#waiters.delete(wake))
      }),
      delay(timeoutMs, undefined, { signal: abort.signal }).catch(() => undefined),
    ])
    abort.abort()
  }

  async stop(): Promise<void> {
    await this.#source.stop()
  }
}
