import type { FramesListener, Port } from './port.ts'

/** More than this waiting is dropped, as a full queue would. */
const MAX_HELD_BYTES = 64 * 1024 * 1024

interface Held { readonly port: Port; readonly data: Buffer; readonly start: number; readonly end: number; readonly dueMs: number }

/** Holds what was read for `delayMs`, in order, and hands it on. */
export class DelayLine {
  delayMs = 0
  readonly #onDue: FramesListener
  #held: Held[] = []
  #bytes = 0
  #timer: NodeJS.Timeout | undefined

  constructor(onDue: FramesListener) {
    this.#onDue = onDue
  }

  /** False when frames may pass at once without overtaking others. */
  get active(): boolean {
    return this.delayMs > 0 || this.#held.length > 0
  }

  push(port: Port, data: Buffer, start: number, end: number): void {
    if (this.#bytes + end - start > MAX_HELD_BYTES) {
      port.overrun++
      return
    }
    this.#bytes += end - start
    this.#held.push({ port, data, start, end, dueMs: performance.now() + this.delayMs })
    this.#timer ??= setTimeout(() => this.#release(), this.delayMs)
  }

  #release(): void {
    this.#timer = undefined
    const now = performance.now()
    const first = this.#held.findIndex((held) => held.dueMs > now)
    const due = this.#held.splice(0, first === -1 ? this.#held.length : first)
    for (const { port, data, start, end } of due) {
      this.#bytes -= end - start
      this.#onDue(port, data, start, end)
    }
    const next = this.#held[0]
    if (next) this.#timer = setTimeout(() => this.#release(), Math.max(0, next.dueMs - performance.now()))
  }
}
