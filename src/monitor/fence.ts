import { KernelbedError } from '../core/errors.ts'
import type { MonitorStream } from './stream.ts'
import { isPacket, type MonitorEvent } from './types.ts'

/** One node as a fence sees it. */
export interface FenceNode {
  readonly name: string
  readonly stream: MonitorStream
  /** Sends one UDP packet to each port from its CPU, from the node's own network: by markerCommand, or another way. */
  mark(target: string, ports: ReadonlyMap<number, number>): Promise<unknown>
  /** CPUs of the node, as in /sys/devices/system/cpu/online. */
  readonly cpus: readonly number[]
  /** Address of an endpoint on this node: a packet from the host to it always makes an event. */
  readonly target: string
}

export interface FenceOptions {
  /** How long the opening fence waits for a stream that delivers nothing, milliseconds. Default 30,000: the agent may just have started. */
  readonly openMs?: number
  /** The same of the closing fence. Default 15,000. */
  readonly closeMs?: number
  /** How long either waits for a stream that delivers, but is behind: thousands of events may lie before the marker, and an emulated agent prints some hundred a second. Default 180,000. */
  readonly behindMs?: number
  /** How long to wait for the markers of one set before sending another, while opening. Default 1,500. */
  readonly againMs?: number
}

/**
 * UDP ports of markers. Above the range that Linux gives to outgoing connections (32768–60999): an answer to a client's port that a marker
 * had before would be taken for that marker, and be missing from the window (seen with markers from 47000 on).
 */
const FIRST_PORT = 61_000
const PORTS = 2_000

/** The shell command that sends one UDP packet from each CPU in `ports`. Needs bash (/dev/udp) and taskset, both essential in Debian. */
export function markerCommand(target: string, ports: ReadonlyMap<number, number>): string {
  // One process for all: it moves itself to each CPU. The packet is processed up to the endpoint's queue by the CPU that sends it.
  const sends = [...ports].map(([cpu, port]) => `taskset -pc ${cpu} $$ >/dev/null && echo kernelbed >/dev/udp/${target}/${port}`)
  return `bash -c '${sends.join('; ')}'`
}

/** Parses `0-3,5` of /sys/devices/system/cpu/online. */
export function parseCpuList(text: string): number[] {
  return text.trim().split(',').filter(Boolean).flatMap((part) => {
    const [first = NaN, last = first] = part.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  })
}

/**
 * Fences of one node. A perf ring keeps order per CPU only, so a fence is one marker packet from each CPU: when all their events have arrived,
 * everything that happened on any CPU before has arrived too. docs/monitor-fences.md has the reasons.
 */
export class Fence {
  readonly #node: FenceNode
  readonly #options: Required<FenceOptions>
  #port = 0

  constructor(node: FenceNode, options: FenceOptions = {}) {
    this.#node = node
    this.#options = { openMs: 30_000, closeMs: 15_000, behindMs: 180_000, againMs: 1_500, ...options }
  }

  /** Whether an event belongs to a marker. (The endpoint may answer with an ICMP error: an event like any other.) */
  isMarker(event: MonitorEvent): boolean {
    if (!isPacket(event)) return false
    const { proto, dst, dstPort } = event.summary
    return proto === 'udp' && dst === this.#node.target && dstPort !== undefined && dstPort >= FIRST_PORT && dstPort < FIRST_PORT + PORTS
  }

  /**
   * Opens a window: sends markers until a whole set arrived (the stream's subscription may not be live yet, so some may be lost). Answers the
   * index of the first event after it. Throws when the stream ended or stays dead.
   */
  async open(): Promise<number> {
    const start = performance.now()
    const { stream } = this.#node
    const from = stream.next
    const patience = this.#patience(this.#options.openMs)
    let sets = 0
    let best: readonly number[] = this.#node.cpus
    while (stream.ended === undefined && patience() > 0) {
      sets++
      const ports = await this.#send()
      const again = performance.now() + this.#options.againMs
      const got = await this.#arrived(ports, from, () => Math.min(patience(), again - performance.now()))
      if (got.missing.length === 0) return got.end
      if (got.missing.length < best.length) best = got.missing
    }
    throw this.#notLive(`no event of ${sets} sets of marker packets to ${this.#node.target} from CPU ${best.join(', ')} within ${((performance.now() - start) / 1000).toFixed(1)} s`, from)
  }

  #notLive(silence: string, from: number): KernelbedError {
    const { stream, name } = this.#node
    if (stream.ended !== undefined) return new KernelbedError(stream.ended, { blame: 'agent', details: this.#evidence(from), hint: 'run what the agent\'s driver has for `monitor` in its pod; its log says why it ended' })
    const { events } = stream.slice(from)
    const foreign = events.length > 0 && events.every(({ type }) => type === 'unparsed')
    return new KernelbedError(`the monitor of ${name} is not live: ${silence}${foreign ? `; none of the ${events.length} lines that it printed is an event` : ''}`, {
      blame: 'agent', details: this.#evidence(from),
      hint: foreign ? 'the monitor must print what `cilium monitor` prints, plain, -v or --json: see `monitor` in the agent\'s driver' : 'a packet from the host to a local endpoint must make a trace or drop event; try `cilium monitor` in the agent\'s pod',
    })
  }

  /** Closes a window: one set of markers; a marker that doesn't arrive means that events were lost. Answers the index where the window ends. */
  async close(from: number): Promise<number> {
    const mark = this.#node.stream.next
    const start = performance.now()
    const ports = await this.#send()
    const got = await this.#arrived(ports, mark, this.#patience(this.#options.closeMs))
    if (got.missing.length === 0) return got.end
    throw new KernelbedError(`events of ${this.#node.name} were lost: the closing marker of CPU ${got.missing.join(', ')} did not arrive within ${((performance.now() - start) / 1000).toFixed(1)} s`, {
      blame: 'agent',
      details: this.#evidence(from),
      hint: 'the perf ring overflowed or the monitor stopped; nothing can be said about what did not happen',
    })
  }

  /** Milliseconds left, each time it is asked: a stream that goes on delivering what is no marker is behind, not dead. */
  #patience(silentMs: number): () => number {
    const { stream } = this.#node
    const last = performance.now() + Math.max(this.#options.behindMs, silentMs)
    let [seen, since] = [stream.next, performance.now()]
    return () => {
      const now = performance.now()
      if (stream.slice(seen).events.some((event) => !this.isMarker(event))) since = now
      seen = stream.next
      return Math.min(last, since + silentMs) - now
    }
  }

  async #send(): Promise<Map<number, number>> {
    const { cpus, target } = this.#node
    const ports = new Map(cpus.map((cpu) => [cpu, FIRST_PORT + (this.#port++ % PORTS)]))
    await this.#node.mark(target, ports)
    return ports
  }

  /** Waits for the first event of every marker; answers the index after the last of them. */
  async #arrived(ports: ReadonlyMap<number, number>, from: number, msLeft: () => number): Promise<{ missing: number[]; end: number }> {
    const { stream, target } = this.#node
    const waiting = new Map([...ports].map(([cpu, port]) => [port, cpu]))
    let seen = from
    let end = from
    for (;;) {
      for (const { index, event } of stream.logged(seen)) {
        seen = index + 1
        if (!isPacket(event) || event.summary.dst !== target || event.summary.proto !== 'udp') continue
        if (event.summary.dstPort !== undefined && waiting.delete(event.summary.dstPort)) end = index + 1
      }
      const left = msLeft()
      if (waiting.size === 0 || left <= 0 || stream.ended !== undefined) return { missing: [...waiting.values()], end }
      await stream.changed(left)
    }
  }

  #evidence(from: number): string {
    const { stream } = this.#node
    const { events, gaps } = stream.slice(from)
    const last = events.slice(-8).map((event) => `  ${event.raw}`)
    return [...gaps, last.length ? `last of ${events.length} events since:` : 'no event arrived at all', ...last].join('\n')
  }
}
