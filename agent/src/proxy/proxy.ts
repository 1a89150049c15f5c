import net from 'node:net'
import type { Datapath, PolicyAllow, ProxyOrigin } from '../datapath/types.ts'
import { hasFault } from '../fault.ts'
import { messageOf, type Logger } from '../log.ts'
import { openTo, type Allow } from '../policy/allow.ts'
import type { ResolvedPolicy } from '../policy/resolve.ts'
import { ProxyListener } from './listener.ts'
import { RuleCache, type RequestFacts } from './match.ts'
import { noStatistics, type L7Record, type RecordEnd, type Statistics } from './record.ts'

export const portRange = { first: 10_000, last: 20_000 } as const

type Direction = 'ingress' | 'egress'
type Transport = Pick<Datapath, 'listenForProxy' | 'proxyOrigin' | 'connectForProxy' | 'listPolicy'>
interface Redirect { endpoint: number; direction: Direction; /** Of the server. */ port: number; proxyPort: number; listener: ProxyListener; wanted: boolean; statistics: Statistics }
export interface ProxyDeps {
  transport: Transport
  /** An identity's labels, as the log has them. */
  labelsOf: (identity: number) => readonly string[]
  /** Endpoint of this node with an address, or 0. */
  endpointAt: (ip: string) => number
  /** The access log. */
  record: (record: L7Record) => void
  log: Logger
}
export interface RedirectStatistics { location: Direction; port: number; protocol: 'http'; statistics: Statistics }

const keyOf = (endpoint: number, direction: Direction, port: number): string => `${endpoint}/${direction}/${port}`

/**
 * The proxy of all endpoints: a listener for each endpoint, direction and port whose policy is about requests. Each request is decided on by the policy
 * that the endpoint has at that moment. A redirect that policy no longer asks for stays until its connections have ended.
 */
export class L7Proxy {
  readonly #deps: ProxyDeps
  readonly #rules = new RuleCache()
  readonly #redirects = new Map<string, Redirect>()
  readonly #policies = new Map<number, ResolvedPolicy>()
  /** Of a redirect, by its key: that it can't be made, or accept. */
  readonly #failures = new Map<string, string>()
  #lastPort: number = portRange.last
  #sweep: NodeJS.Timeout | undefined

  constructor(deps: ProxyDeps) { this.#deps = deps }

  get redirects(): number { return this.#redirects.size }

  /** What it can't do at present that policy asks for. */
  get failure(): string | undefined { return [...this.#failures.values()][0] }

  /** Takes a policy over, and gives it as the datapath is to have it: without what there is no port to listen at for, which `refused` tells. */
  apply(endpoint: number, policy: ResolvedPolicy): { ingress?: PolicyAllow[]; egress?: PolicyAllow[]; refused?: string } {
    for (const key of this.#failures.keys()) if (key.startsWith(`${endpoint}/`) && !this.#redirects.has(key)) this.#failures.delete(key)
    const direct = (direction: Direction) => policy[direction]?.flatMap((allow) => this.#withPort(endpoint, direction, allow) ?? [])
    const [ingress, egress] = [direct('ingress'), direct('egress')]
    this.#policies.set(endpoint, policy)
    const refused = [...this.#failures].find(([key]) => key.startsWith(`${endpoint}/`) && !this.#redirects.has(key))?.[1]
    return { ...(ingress === undefined ? {} : { ingress }), ...(egress === undefined ? {} : { egress }), ...(refused === undefined ? {} : { refused }) }
  }

  /** Once the datapath has the policy that was applied last: ends what it no longer wants. */
  settle(endpoint: number): void {
    const policy = this.#policies.get(endpoint) ?? {}
    for (const redirect of this.#redirects.values()) {
      if (redirect.endpoint !== endpoint) continue
      const list = policy[redirect.direction]
      redirect.wanted = (list ?? []).some(({ port, http }) => port === redirect.port && http !== undefined)
      redirect.listener.endThose((identities) => openTo(list, peerOf(redirect.direction, identities), redirect.port) === undefined)
    }
    this.#sweepLater()
  }

  remove(endpoint: number): void {
    for (const [key, redirect] of this.#redirects) if (redirect.endpoint === endpoint) this.#end(key, redirect)
    for (const key of this.#failures.keys()) if (key.startsWith(`${endpoint}/`)) this.#failures.delete(key)
    this.#policies.delete(endpoint)
  }

  statistics(endpoint: number): RedirectStatistics[] {
    return [...this.#redirects.values()].filter((it) => it.endpoint === endpoint)
      .map(({ direction, port, statistics }) => ({ location: direction, port, protocol: 'http', statistics }))
  }

  close(): void {
    clearTimeout(this.#sweep)
    for (const [key, redirect] of this.#redirects) this.#end(key, redirect)
  }

  #withPort(endpoint: number, direction: Direction, { http, ...allow }: Allow): PolicyAllow | undefined {
    if (http === undefined) return allow
    const key = keyOf(endpoint, direction, allow.port)
    try {
      const redirect = this.#redirects.get(key) ?? this.#open(endpoint, direction, allow.port)
      this.#redirects.set(key, redirect)
      return { ...allow, proxyPort: redirect.proxyPort }
    } catch (error) {
      this.#failures.set(key, `requests to ${direction} port ${allow.port} of endpoint ${endpoint} are denied: ${messageOf(error)}`)
      return undefined
    }
  }

  #open(endpoint: number, direction: Direction, port: number): Redirect {
    const { proxyPort, fd } = this.#listen(this.#portBefore(endpoint, direction, port))
    const statistics = noStatistics()
    const listener = new ProxyListener(fd, {
      origin: (socket) => { this.#failures.delete(keyOf(endpoint, direction, port)); return this.#originOf(socket) },
      decide: (origin, request) => this.#decide(endpoint, direction, port, origin, request),
      connect: (origin) => this.#connect(origin, direction),
      tell: (origin, told) => { count(statistics, told); this.#record(endpoint, direction, origin, told) },
      failed: (error) => {
        this.#failures.set(keyOf(endpoint, direction, port), `connections to ${direction} port ${port} of endpoint ${endpoint} are not accepted: ${messageOf(error)}`)
        this.#deps.log.error('The proxy fails to accept connections', { endpointID: endpoint, direction, port, error: messageOf(error) })
      },
    })
    this.#deps.log.info('Redirecting to the proxy', { endpointID: endpoint, direction, port, proxyPort })
    return { endpoint, direction, port, proxyPort, listener, wanted: true, statistics }
  }

  /** What an agent before had, so that the datapath needs no change. */
  #portBefore(endpoint: number, direction: Direction, port: number): number | undefined {
    const found = this.#deps.transport.listPolicy(endpoint).find((entry) => entry.direction === direction && entry.port === port && entry.proxyPort !== 0)?.proxyPort
    return found !== undefined && [...this.#redirects.values()].every(({ proxyPort }) => proxyPort !== found) ? found : undefined
  }

  /** One port after the other, so that none is used again soon. */
  #listen(preferred: number | undefined): { proxyPort: number; fd: number } {
    let problem: unknown
    for (let tries = preferred === undefined ? 0 : -1; tries < 100; tries++) {
      const proxyPort = tries < 0 && preferred !== undefined ? preferred : (this.#lastPort = this.#lastPort >= portRange.last ? portRange.first : this.#lastPort + 1)
      try { return { proxyPort, fd: this.#deps.transport.listenForProxy(proxyPort) } } catch (error) { problem = error }
    }
    throw new Error(`no port for the proxy among ${portRange.first}-${portRange.last} (${messageOf(problem)}): end what listens there on this node`)
  }

  #originOf(socket: net.Socket): ProxyOrigin | undefined {
    const { remoteAddress = '', remotePort = 0, localAddress = '', localPort = 0 } = socket
    return remoteAddress === '' ? undefined : this.#deps.transport.proxyOrigin({ ip: unmapped(remoteAddress), port: remotePort }, { ip: unmapped(localAddress), port: localPort })
  }

  #decide(endpoint: number, direction: Direction, port: number, origin: ProxyOrigin, request: RequestFacts): boolean {
    const policy = this.#policies.get(endpoint)
    const open = policy === undefined ? undefined : openTo(policy[direction], peerOf(direction, origin), port)
    if (open?.http === undefined) return open !== undefined
    return open.http.some((rule) => this.#rules.matches(rule, request))
  }

  #connect(origin: ProxyOrigin, direction: Direction): net.Socket {
    try { return this.#deps.transport.connectForProxy(origin, origin.srcIdentity, direction) } catch (error) {
      return new net.Socket().destroy(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #record(endpoint: number, direction: Direction, origin: ProxyOrigin, told: Pick<L7Record, 'type' | 'verdict' | 'http'>): void {
    if (hasFault('l7-loses-access-log')) return
    const end = (identity: number, id: number): RecordEnd => ({ id, identity, labels: this.#deps.labelsOf(identity) })
    const [source, destination] = direction === 'ingress'
      ? [end(origin.srcIdentity, this.#deps.endpointAt(origin.client)), end(origin.dstIdentity, endpoint)]
      : [end(origin.srcIdentity, endpoint), end(origin.dstIdentity, this.#deps.endpointAt(origin.ip))]
    this.#deps.record({ ...told, observationPoint: direction === 'ingress' ? 'Ingress' : 'Egress', source, destination })
  }

  /** Redirects end with their last connection. */
  #sweepLater(): void {
    for (const [key, redirect] of this.#redirects) if (!redirect.wanted && redirect.listener.connections === 0) this.#end(key, redirect)
    clearTimeout(this.#sweep)
    if ([...this.#redirects.values()].some(({ wanted }) => !wanted)) this.#sweep = setTimeout(() => this.#sweepLater(), 10_000).unref()
  }

  #end(key: string, { listener, endpoint, direction, port }: Redirect): void {
    listener.close()
    this.#redirects.delete(key)
    this.#failures.delete(key)
    this.#deps.log.info('No longer redirecting to the proxy', { endpointID: endpoint, direction, port })
  }
}

/** A socket of both families sees IPv4 so. */
const unmapped = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/, '')

/** The other end's, which the policy speaks of. */
const peerOf = (direction: Direction, { srcIdentity, dstIdentity }: Pick<ProxyOrigin, 'srcIdentity' | 'dstIdentity'>): number => (direction === 'ingress' ? srcIdentity : dstIdentity)

export function count(statistics: Statistics, { type, verdict }: Pick<L7Record, 'type' | 'verdict'>): void {
  const counts = type === 'Request' ? statistics.requests : statistics.responses
  counts.received++
  counts[verdict === 'Forwarded' ? 'forwarded' : verdict === 'Denied' ? 'denied' : 'error']++
}
