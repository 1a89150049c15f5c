import { readdirSync, readFileSync } from 'node:fs'
import type { Writable } from 'node:stream'
import type { Datapath } from '../datapath/types.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import { hasFault } from '../fault.ts'
import { messageOf } from '../log.ts'
import type { L7Record } from '../proxy/record.ts'
import { encodeFrame, type Frame } from './frames.ts'

/** Bytes that may wait for one client; what comes beyond is lost to it, and counted. */
const queueLimit = 4 * 1024 * 1024

/** Spreads the datapath's events and the agent's own to monitor clients. */
export class MonitorHub {
  readonly #clients = new Set<Client>()
  readonly #ring: Datapath['ring']
  readonly #unsubscribe: () => void
  #lost = 0

  /** `wants`: which of the datapath's events are told. */
  constructor(datapath: Datapath, wants: (event: Buffer) => boolean = () => true) {
    this.#ring = datapath.ring
    this.#unsubscribe = datapath.onEvent((event) => {
      if ('lost' in event) { this.#lost += event.lost; if (!hasFault('monitor-hides-loss')) this.#send({ kind: 'lost', ...event }) }
      else if (this.#clients.size > 0 && wants(event.data)) this.#send({ kind: 'sample', ...event })
    })
  }

  /** Samples the kernel's rings had no room for. */
  get lost(): number { return this.#lost }

  agentEvent(subtype: string, message: unknown): void { this.#send({ kind: 'agent', subtype, message }) }

  /** How a regeneration of an endpoint ended. */
  regenerated({ id, record: { labels } }: Endpoint, error?: unknown): void {
    if (error === undefined) this.agentEvent('Endpoint regenerated', { id, labels: [...labels] })
    else this.agentEvent('Failed endpoint regeneration', { id, labels: [...labels], error: messageOf(error) })
  }

  l7Event(record: L7Record): void { this.#send({ kind: 'l7', record }) }

  /** Told when an interface comes or goes, so that clients can name it before its first event. */
  interfacesChanged(): void { if (this.#clients.size > 0) this.#send({ kind: 'interfaces', names: interfaceNames() }) }

  /** Streams to `out` until it closes. */
  attach(out: Writable): void {
    const client = new Client(out)
    this.#clients.add(client)
    out.once('close', () => this.#clients.delete(client))
    out.on('error', () => this.#clients.delete(client))
    client.send({ kind: 'hello', cpus: this.#ring.cpus, pages: this.#ring.pages, pageSize: this.#ring.pageSize })
    client.send({ kind: 'interfaces', names: interfaceNames() })
  }

  close(): void {
    this.#unsubscribe()
    for (const client of this.#clients) client.end()
  }

  #send(frame: Frame): void {
    if (this.#clients.size === 0) return
    const bytes = encodeFrame(frame)
    for (const client of hasFault('monitor-for-one') ? [...this.#clients].slice(0, 1) : this.#clients) client.send(frame, bytes)
  }
}

/** One client and its queue. */
class Client {
  readonly #out: Writable
  readonly #lost = new Map<number, number>()
  #batch: Buffer[] = []
  #batched = 0

  constructor(out: Writable) {
    this.#out = out
    out.on('drain', () => this.#tellLost())
  }

  send(frame: Frame, bytes: Buffer = encodeFrame(frame)): void {
    if (this.#out.writableLength + this.#batched > queueLimit && frame.kind !== 'interfaces') {
      const [cpu, lost] = frame.kind === 'lost' ? [frame.cpu, frame.lost] : [frame.kind === 'sample' ? frame.cpu : 0, 1]
      this.#lost.set(cpu, (this.#lost.get(cpu) ?? 0) + lost)
      return
    }
    this.#tellLost()
    this.#push(bytes)
  }

  end(): void {
    this.#flush()
    this.#out.end()
  }

  #tellLost(): void {
    if (this.#lost.size === 0 || this.#out.writableLength + this.#batched > queueLimit) return
    for (const [cpu, lost] of this.#lost) this.#push(encodeFrame({ kind: 'lost', cpu, lost }))
    this.#lost.clear()
  }

  /** Events come in bursts from a ring: one write a burst. */
  #push(bytes: Buffer): void {
    if (this.#batch.length === 0) setImmediate(() => this.#flush())
    this.#batch.push(bytes)
    this.#batched += bytes.length
  }

  #flush(): void {
    if (this.#batch.length === 0) return
    const bytes = Buffer.concat(this.#batch)
    this.#batch = []
    this.#batched = 0
    if (this.#out.writable) this.#out.write(bytes)
  }
}

/** Interface names by index. os.networkInterfaces() leaves out interfaces without an address, such as a pod's host side. */
export function interfaceNames(): Record<string, string> {
  return Object.fromEntries(readdirSync('/sys/class/net').flatMap((name) => {
    try { return [[readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8').trim(), name]] } catch { return [] }
  }))
}
