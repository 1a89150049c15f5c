import type { Endpoint } from '../endpoint/endpoint.ts'
import { hasFault } from '../fault.ts'

/** What the monitor can be told, and not told; each endpoint may have it otherwise than its node. */
export const monitorOptions = ['Debug', 'DropNotification', 'TraceNotification'] as const
export type MonitorOption = (typeof monitorOptions)[number]
export type EndpointOptions = Partial<Record<MonitorOption, boolean>>

/** By the first byte of an event (agent/bpf/lib/events.h). */
const optionOf: readonly (MonitorOption | undefined)[] = [undefined, 'DropNotification', 'Debug', 'Debug', 'TraceNotification']

export interface MonitorOptionsDeps {
  debug: boolean
  /** Whether the programs tell what they do at all. */
  setDebug: (on: boolean) => void
  /** Whether the agent's log has what it does. */
  logDebug: (on: boolean) => void
  endpoints: { list(): Endpoint[]; get(id: number): Endpoint | undefined; setOptions(endpoint: Endpoint, options: EndpointOptions): void }
}

/** The node's options and those of endpoints. The programs tell more than is wanted once one endpoint debugs: what of others comes then is left out where the rings are read. */
export class MonitorOptions {
  readonly #deps: MonitorOptionsDeps
  readonly #node: Record<MonitorOption, boolean>
  #debugs: boolean

  constructor(deps: MonitorOptionsDeps) {
    this.#deps = deps
    this.#node = { Debug: deps.debug, DropNotification: true, TraceNotification: true }
    this.#debugs = deps.debug
    this.settle()
  }

  node(): Readonly<Record<MonitorOption, boolean>> { return this.#node }

  of({ record }: Endpoint): Record<MonitorOption, boolean> { return { ...this.#node, ...record.options } }

  setNode(options: EndpointOptions): void {
    Object.assign(this.#node, options)
    if (options.Debug !== undefined) this.#deps.logDebug(options.Debug)
    this.settle()
  }

  /** Written down: they outlive the agent. */
  setEndpoint(endpoint: Endpoint, options: EndpointOptions): void {
    this.#deps.endpoints.setOptions(endpoint, options)
    this.settle()
  }

  /** Whether an event of the rings is for the monitor. */
  wants(event: Buffer): boolean {
    const option = optionOf[event[0] ?? 0]
    if (option === undefined || event.length < 4) return true
    if (option === 'Debug' && hasFault('debug-of-all')) return true
    return this.#deps.endpoints.get(event.readUInt16LE(2))?.record.options?.[option] ?? this.#node[option]
  }

  /** Has the programs tell what somebody wants told; call when endpoints come or go. */
  settle(): void {
    const debugs = this.#node.Debug || this.#deps.endpoints.list().some(({ record }) => record.options?.Debug === true)
    if (debugs !== this.#debugs) this.#deps.setDebug((this.#debugs = debugs))
  }
}
