import { messageOf, type Logger } from '../log.ts'
import { SomeFailed } from './problems.ts'

/** What `cilium status --all-controllers` tells about a controller. Times are milliseconds since the epoch. */
export interface ControllerStatus { name: string; successes: number; failures: number; consecutiveFailures: number; lastSuccess?: number; lastFailure?: number; message?: string }

const retry = { first: 250, most: 30_000 }

/**
 * Brings one part of the datapath to its desired state. `trigger` asks for a run; runs never overlap and requests in between become
 * one. A failed run is retried with a growing pause.
 */
export class Controller {
  readonly name: string
  /** What its failures are of, when that is one thing. */
  readonly area: 'datapath' | undefined
  readonly #run: () => Promise<void> | void
  readonly #log: Logger
  readonly #status: ControllerStatus
  #error: unknown
  #wanted = false
  #running: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #stopped = false
  readonly #listeners: (() => void)[] = []

  constructor(name: string, run: () => Promise<void> | void, log: Logger, area?: 'datapath') {
    this.name = name
    this.area = area
    this.#run = run
    this.#log = log
    this.#status = { name, successes: 0, failures: 0, consecutiveFailures: 0 }
  }

  get status(): ControllerStatus { return { ...this.#status } }

  /** What failed of the last run, if it went on past that. */
  get failures(): ReadonlyMap<string, string> { return this.#error instanceof SomeFailed ? this.#error.items : new Map() }

  /** Why the last run failed, if it did; of an `item`, why that did, if nothing worse happened. */
  failure(item?: string): string | undefined {
    if (item !== undefined && this.#error instanceof SomeFailed) return this.failures.get(item)
    return this.#status.message
  }

  /** Called after every run. */
  onRun(listener: () => void): void { this.#listeners.push(listener) }

  trigger(): void {
    if (this.#stopped) return
    this.#wanted = true
    if (this.#running !== undefined) return
    clearTimeout(this.#timer)
    this.#running = this.#loop().finally(() => {
      this.#running = undefined
      // A request made between the loop's last look and here.
      if (this.#wanted) this.trigger()
    })
  }

  /** Triggers, and waits until what was asked for before this call has been tried. */
  async settle(): Promise<void> {
    this.trigger()
    while (this.#running !== undefined) await this.#running
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#wanted = false
    clearTimeout(this.#timer)
    await this.#running
  }

  async #loop(): Promise<void> {
    // Changes come in bursts: let the present one end first.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#wanted) {
      this.#wanted = false
      try {
        await this.#run()
        this.#succeed()
      } catch (error) {
        this.#error = error
        this.#fail(messageOf(error))
      }
      for (const listener of this.#listeners) listener()
      if (this.#error !== undefined) return
    }
  }

  #succeed(): void {
    const status = this.#status
    if (status.consecutiveFailures > 0) this.#log.info('Controller works again', { controller: this.name, failures: status.consecutiveFailures })
    Object.assign(status, { successes: status.successes + 1, consecutiveFailures: 0, lastSuccess: Date.now() })
    delete status.message
    this.#error = undefined
  }

  #fail(message: string): void {
    const status = this.#status
    if (status.message !== message) this.#log.warning('Controller failed, retrying', { controller: this.name, error: message })
    Object.assign(status, { failures: status.failures + 1, consecutiveFailures: status.consecutiveFailures + 1, lastFailure: Date.now(), message })
    if (this.#stopped) return
    const pause = Math.min(retry.first * 2 ** (status.consecutiveFailures - 1), retry.most)
    this.#timer = setTimeout(() => this.trigger(), pause)
  }
}
