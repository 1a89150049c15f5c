import { hasFault } from '../fault.ts'
import type { Backend, ServiceSpec } from '../datapath/types.ts'
import type { Endpoints, Service, ServicePort } from '../k8s/types.ts'
import { keyOf } from '../k8s/informer.ts'

export type Frontend = ServiceSpec['frontend']
export const frontendKey = ({ ip, port, protocol }: Frontend): string => `${ip}:${port}/${protocol}`

type Wanted = Omit<ServiceSpec, 'id'>
/** Kubernetes' own default for a client's affinity, in seconds. */
const affinityTimeout = 10_800

/**
 * A service's frontends: each port at its cluster IP and external IPs, and its node port at every node's address, with the backends its Endpoints name.
 * Headless and external-name services have none.
 */
export function frontendsOf(service: Service, endpoints: Endpoints | undefined, nodes: readonly string[]): Wanted[] {
  const { clusterIP, type, ports = [], externalIPs = [], sessionAffinity, sessionAffinityConfig } = service.spec
  if (clusterIP === undefined || clusterIP === '' || clusterIP === 'None' || type === 'ExternalName' || clusterIP.includes(':')) return []
  const affinity = sessionAffinity === 'ClientIP' ? { affinity: sessionAffinityConfig?.clientIP?.timeoutSeconds ?? affinityTimeout } : {}
  return ports.flatMap((port) => {
    const protocol = port.protocol ?? 'TCP'
    if (protocol !== 'TCP' && protocol !== 'UDP') return []
    const backends = backendsOf(port, endpoints)
    const at = (ip: string, number: number): Wanted => ({ frontend: { ip, port: number, protocol }, backends, ...affinity })
    const external = [clusterIP, ...externalIPs.filter((ip) => !ip.includes(':'))].map((ip) => at(ip, port.port))
    return [...external, ...(port.nodePort === undefined || port.nodePort === 0 || hasFault('forgets-node-ports') ? [] : nodes.map((ip) => at(ip, port.nodePort!)))]
  })
}

/** Endpoints carry the resolved port number under the service port's name; an unnamed port matches the unnamed one. */
function backendsOf(servicePort: ServicePort, endpoints: Endpoints | undefined): Backend[] {
  const backends = new Map<string, Backend>()
  for (const { addresses = [], ports = [] } of endpoints?.subsets ?? []) {
    for (const port of ports) {
      if ((port.name ?? '') !== (servicePort.name ?? '') || (port.protocol ?? 'TCP') !== (servicePort.protocol ?? 'TCP')) continue
      for (const { ip } of addresses) if (!ip.includes(':')) backends.set(`${ip}:${port.port}`, { ip, port: port.port })
    }
  }
  return [...backends.values()].sort((a, b) => compareIPs(a.ip, b.ip) || a.port - b.port)
}

/**
 * All frontends of the cluster and those made by hand, each with the number it keeps for as long as it exists. `nodes` are the addresses of all nodes: one that
 * asks another's node port is served at once, without the way there.
 */
export function desiredServices(services: Service[], endpoints: Endpoints[], nodes: readonly string[], manual: readonly ServiceSpec[], ids: ServiceIds): Map<string, ServiceSpec> {
  const byKey = new Map(endpoints.map((object) => [keyOf(object), object]))
  const made = new Set(manual.map(({ frontend }) => frontendKey(frontend)))
  const found = services.flatMap((service) => frontendsOf(service, byKey.get(keyOf(service)), nodes)).filter(({ frontend }) => !made.has(frontendKey(frontend)))
    .sort((a, b) => compareIPs(a.frontend.ip, b.frontend.ip) || a.frontend.port - b.frontend.port || (a.frontend.protocol < b.frontend.protocol ? -1 : 1))
  ids.keep(new Set([...made, ...found.map(({ frontend }) => frontendKey(frontend))]))
  for (const { id, frontend } of manual) ids.claim(frontendKey(frontend), id)
  return new Map([...manual.map((service): [string, ServiceSpec] => [frontendKey(service.frontend), service]), ...found.map((service): [string, ServiceSpec] => {
    const key = frontendKey(service.frontend)
    return [key, { id: ids.of(key), ...service }]
  })])
}

/** Numbers frontends. A freed number is used again only after all others: conntrack entries of the old service may still have it. */
export class ServiceIds {
  readonly #ids: Map<string, number>
  readonly #used: Set<number>
  #last: number
  constructor(inUse: Iterable<readonly [key: string, id: number]> = []) {
    this.#ids = new Map(inUse)
    this.#used = new Set(this.#ids.values())
    this.#last = Math.max(0, ...this.#used)
  }

  of(key: string): number {
    const known = this.#ids.get(key)
    if (known !== undefined) return known
    if (this.#used.size >= 65_535) throw new Error('more than 65,535 service frontends: the reverse translation index is full')
    do this.#last = (this.#last % 65_535) + 1
    while (this.#used.has(this.#last))
    this.#set(key, this.#last)
    return this.#last
  }

  /** Gives a frontend the number that was asked for. Whoever had it gets another. */
  claim(key: string, id: number): void {
    if (this.#ids.get(key) === id) return
    for (const [other, used] of this.#ids) if (used === id) this.#ids.delete(other)
    this.#set(key, id)
  }

  /** Forgets every other frontend. */
  keep(keys: Set<string>): void {
    for (const [key, id] of this.#ids) if (!keys.has(key)) { this.#ids.delete(key); this.#used.delete(id) }
  }

  #set(key: string, id: number): void {
    const before = this.#ids.get(key)
    if (before !== undefined) this.#used.delete(before)
    this.#ids.set(key, id)
    this.#used.add(id)
  }
}

export const compareIPs = (a: string, b: string): number => numberOf(a) - numberOf(b)

/** An IPv4 address as a number. Thousands of frontends are put in order at every change. */
function numberOf(ip: string): number {
  let [number, octet] = [0, 0]
  for (let i = 0; i < ip.length; i++) {
    const code = ip.charCodeAt(i)
    if (code === 46) [number, octet] = [number * 256 + octet, 0]
    else octet = octet * 10 + code - 48
  }
  return number * 256 + octet
}
