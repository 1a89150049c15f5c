import type { CaptureFile } from './capture-file.ts'
import { LENGTH_PREFIX, Port } from './port.ts'
import { DelayLine } from './delay-line.ts'

/** As IEEE 802.1D recommends. */
const AGEING_MS = 300_000
const ETHERNET_HEADER = 14
const GROUP_BIT = 0x01

interface Learned { port: Port; seenMs: number }

/**
 * A learning layer-2 switch. What it hands to a port is written in runs: frames that lie side by side in what was read and go to the
 * same place are one write, so a stream between two machines costs one write a read.
 */
export class Switch {
  readonly #ports = new Map<string, Port>()
  readonly #learned = new Map<number, Learned>()
  readonly #captures = new Set<CaptureFile>()
  readonly #cutPairs = new Set<string>()
  readonly #isolated = new Set<string>()
  readonly #delay = new DelayLine((port, data, start, end) => this.#switch(port, data, start, end))
  #loss = 0

  constructor() {
    setInterval(() => this.#age(), 10_000).unref()
  }

  get ports(): readonly Port[] {
    return [...this.#ports.values()]
  }

  /** The port of this name; attached anew when the socket is another. */
  attach(name: string, path: string): Port {
    const known = this.#ports.get(name)
    if (known?.path === path) return known
    if (known) this.detach(name)
    const port = new Port(name, path, (from, data, start, end) => this.#receive(from, data, start, end), (down) => this.#forget(down))
    this.#ports.set(name, port)
    return port
  }

  detach(name: string): void {
    const port = this.#ports.get(name)
    port?.close()
    if (port) this.#forget(port)
    this.#ports.delete(name)
  }

  capture(file: CaptureFile): void {
    this.#captures.add(file)
  }

  endCapture(file: CaptureFile): void {
    this.#captures.delete(file)
  }

  cut(a: string, b: string | undefined): void {
    if (b === undefined) this.#isolated.add(a)
    else this.#cutPairs.add(pairOf(a, b))
  }

  restore(): void {
    this.#isolated.clear()
    this.#cutPairs.clear()
  }

  impair(loss: number, delayMs: number): void {
    this.#loss = loss
    this.#delay.delayMs = delayMs
  }

  #receive(from: Port, data: Buffer, start: number, end: number): void {
    if (this.#delay.active) this.#delay.push(from, data, start, end)
    else this.#switch(from, data, start, end)
  }

  /** Switches the frames in `[start, end)`. */
  #switch(from: Port, data: Buffer, start: number, end: number): void {
    const nowMs = performance.timeOrigin + performance.now()
    const corked: Port[] = []
    let run: { to: Port; start: number; end: number; frames: number } | undefined
    const flush = (): void => {
      if (run?.to.send(data, run.start, run.end, run.frames)) corked.push(run.to)
      run = undefined
    }
    for (let at = start, next; at < end; at = next) {
      next = at + LENGTH_PREFIX + data.readUInt32BE(at)
      const to = this.#route(from, data, at + LENGTH_PREFIX, next, nowMs)
      if (to === undefined) continue
      if (run && to === run.to && run.end === at) {
        run.end = next
        run.frames++
        continue
      }
      flush()
      if (to instanceof Port) run = { to, start: at, end: next, frames: 1 }
      else for (const port of to) if (port.send(data, at, next, 1)) corked.push(port)
    }
    flush()
    for (const port of corked) port.uncork()
  }

  /** Where a frame goes: one port, several, or undefined when nowhere; counts it when it is dropped, records it when it goes on. */
  #route(from: Port, data: Buffer, start: number, end: number, nowMs: number): Port | readonly Port[] | undefined {
    from.rxFrames++
    if (end - start < ETHERNET_HEADER) return drop(from, 'malformed')
    if (this.#loss > 0 && Math.random() < this.#loss) return drop(from, 'lost')
    if (this.#isolated.has(from.name)) return drop(from, 'cut')
    this.#learn(from, data.readUIntBE(start + 6, 6), nowMs)
    const to = this.#target(from, data, start)
    const severed = to === undefined ? false : to instanceof Port ? this.#isCut(from, to) : to.length > 0 && to.every((port) => this.#isCut(from, port))
    if (severed) return drop(from, 'cut')
    if (this.#captures.size) this.#record(from, data, start, end, nowMs)
    if (to instanceof Port || to === undefined) return to
    return to.filter((port) => !this.#isCut(from, port))
  }

  #target(from: Port, data: Buffer, start: number): Port | readonly Port[] | undefined {
    if (((data[start] ?? 0) & GROUP_BIT) === 0) {
      const known = this.#learned.get(data.readUIntBE(start, 6))
      if (known) return known.port === from ? undefined : known.port
    }
    return this.ports.filter((port) => port !== from)
  }

  #isCut(a: Port, b: Port): boolean {
    return this.#isolated.has(b.name) || (this.#cutPairs.size > 0 && this.#cutPairs.has(pairOf(a.name, b.name)))
  }

  #learn(port: Port, mac: number, nowMs: number): void {
    const known = this.#learned.get(mac)
    if (!known) this.#learned.set(mac, { port, seenMs: nowMs })
    else {
      known.port = port
      known.seenMs = nowMs
    }
  }

  #record(from: Port, data: Buffer, start: number, end: number, nowMs: number): void {
    const seconds = Math.floor(nowMs / 1000)
    const nanos = Math.min(999_999_999, Math.round((nowMs - seconds * 1000) * 1e6))
    const source = data.readUIntBE(start + 6, 6)
    for (const capture of this.#captures) {
      capture.record(seconds, nanos, data, start, end)
      capture.sources.set(source, from.name)
    }
  }

  #forget(port: Port): void {
    for (const [mac, learned] of this.#learned) if (learned.port === port) this.#learned.delete(mac)
  }

  #age(): void {
    const oldest = performance.timeOrigin + performance.now() - AGEING_MS
    for (const [mac, learned] of this.#learned) if (learned.seenMs < oldest) this.#learned.delete(mac)
  }
}

function drop(port: Port, why: 'malformed' | 'lost' | 'cut'): undefined {
  port[why]++
}

const pairOf = (a: string, b: string): string => (a < b ? `${a}\n${b}` : `${b}\n${a}`)
