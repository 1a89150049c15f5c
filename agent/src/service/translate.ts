import { canonical } from '../cluster/cidr.ts'
import { hasFault } from '../fault.ts'
import type { Backend, ServiceSpec } from '../datapath/types.ts'
import type { Endpoints, EndpointSlice, Service, ServicePort } from '../k8s/types.ts'
import { keyOf } from '../k8s/informer.ts'
import { hostPort } from '../text/hostport.ts'

export type Frontend = ServiceSpec['frontend']
export const frontendKey = ({ ip, port, protocol }: Frontend): string => `${hostPort(ip, port)}/${protocol}`

type Wanted = Omit<ServiceSpec, 'id'>
/** Kubernetes' own default for a client's affinity, in seconds. */
const affinityTimeout = 10_800

type Family = 4 | 6
const familyOf = (ip: string): Family => (ip.includes(':') ? 6 : 4)

/**
 * What Kubernetes says is behind a service. Endpoints have the addresses of its first family only; those of the second are in EndpointSlices.
 */
export interface Behind { endpoints?: Endpoints | undefined; slices?: readonly EndpointSlice[] }

/**
 * A service's frontends: each port at its cluster IPs, its external IPs and, its node port, at every node's addresses, with the backends of the same family. Addresses
 * of a family that it has no cluster IP of are left out, as kube-proxy does. Headless and external-name services have none. `nodes` are the addresses of all nodes.
 */
export function frontendsOf(service: Service, behind: Behind, nodes: readonly string[]): Wanted[] {
  const { type, ports = [], externalIPs = [], sessionAffinity, sessionAffinityConfig } = service.spec
  const clusterIPs = clusterIPsOf(service)
  if (type === 'ExternalName') return []
  const affinity = sessionAffinity === 'ClientIP' ? { affinity: sessionAffinityConfig?.clientIP?.timeoutSeconds ?? affinityTimeout } : {}
  return ports.flatMap((port) => {
    const protocol = port.protocol ?? 'TCP'
    if (protocol !== 'TCP' && protocol !== 'UDP') return []
    return clusterIPs.flatMap((clusterIP, i) => {
      const family = familyOf(clusterIP)
      const own = (list: readonly string[]): string[] => list.filter((ip) => familyOf(ip) === family)
      const backends = i === 0 ? backendsOf(port, behind.endpoints, family) : backendsInSlices(port, behind.slices ?? [], family)
      const at = (ip: string, number: number): Wanted => ({ frontend: { ip, port: number, protocol }, backends, ...affinity })
      const external = [clusterIP, ...own(externalIPs)].map((ip) => at(canonical(ip), port.port))
      return [...external, ...(port.nodePort === undefined || port.nodePort === 0 || hasFault('forgets-node-ports') ? [] : own(nodes).map((ip) => at(ip, port.nodePort!)))]
    })
  })
}

function clusterIPsOf({ spec: { clusterIP = '', clusterIPs = [] } }: Service): string[] {
  return [...new Set([clusterIP, ...clusterIPs])].filter((ip) => ip !== '' && ip !== 'None')
}

/** An unnamed port matches the unnamed one. */
const samePort = (servicePort: ServicePort, port: { name?: string; protocol?: string }): boolean =>
  (port.name ?? '') === (servicePort.name ?? '') && (port.protocol ?? 'TCP') === (servicePort.protocol ?? 'TCP')

/** Each once, in order. */
function inOrder(backends: Backend[]): Backend[] {
  return [...new Map(backends.map((backend) => [hostPort(backend.ip, backend.port), backend])).values()].sort((a, b) => compareIPs(a.ip, b.ip) || a.port - b.port)
}

/** Endpoints carry the resolved port number under the service port's name. */
function backendsOf(servicePort: ServicePort, endpoints: Endpoints | undefined, family: Family): Backend[] {
  return inOrder((endpoints?.subsets ?? []).flatMap(({ addresses = [], ports = [] }) => ports.filter((port) => samePort(servicePort, port))
    .flatMap(({ port }) => addresses.filter(({ ip }) => familyOf(ip) === family).map(({ ip }) => ({ ip: canonical(ip), port })))))
}

/** Those that are ready, or of which nothing is said. */
function backendsInSlices(servicePort: ServicePort, slices: readonly EndpointSlice[], family: Family): Backend[] {
  return inOrder(slices.filter(({ addressType }) => addressType === `IPv${family}`).flatMap(({ endpoints, ports }) => (ports ?? []).filter((port) => samePort(servicePort, port)).flatMap(({ port }) => (port === undefined ? [] :
    (endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false).flatMap(({ addresses }) => addresses.map((ip) => ({ ip: canonical(ip), port })))))))
}

/** `namespace/name` of the service that a slice is of. */
export const serviceOf = ({ metadata: { namespace, labels } }: EndpointSlice): string => `${namespace}/${labels?.['kubernetes.io/service-name']}`

export interface Cluster { services: Service[]; endpoints: Endpoints[]; slices: EndpointSlice[]; /** Addresses at which every node serves node ports: one that asks another's is served at once, without the way there. */ nodes: readonly string[] }

/** A frontend of a Kubernetes service. `spec` is it with its number, the same object until one of the two is another. */
interface Found { readonly key: string; readonly wanted: Wanted; spec?: ServiceSpec }
interface Translated { readonly endpoints: Endpoints | undefined; readonly slices: readonly EndpointSlice[]; readonly nodes: string; readonly found: readonly Found[] }

/** Of thousands of services one has changed: informers keep the objects of all others. */
const translated = new WeakMap<Service, Translated>()

function translate(service: Service, endpoints: Endpoints | undefined, slices: readonly EndpointSlice[], nodes: readonly string[]): readonly Found[] {
  const known = translated.get(service)
  const all = nodes.join()
  if (known !== undefined && known.endpoints === endpoints && known.nodes === all && known.slices.length === slices.length && known.slices.every((slice, i) => slice === slices[i])) return known.found
  const found = frontendsOf(service, { endpoints, slices }, nodes).map((wanted) => ({ key: frontendKey(wanted.frontend), wanted }))
  translated.set(service, { endpoints, slices, nodes: all, found })
  return found
}

/**
 * All frontends of the cluster and those made by hand, each with the number it keeps for as long as it exists. `six`: those of IPv6 too. What has not changed is the same object as the
 * time before.
 */
export function desiredServices({ services, endpoints, slices, nodes }: Cluster, manual: readonly ServiceSpec[], ids: ServiceIds, six: boolean): Map<string, ServiceSpec> {
  const byKey = new Map(endpoints.map((object) => [keyOf(object), object]))
  const slicesOf = Map.groupBy(slices, serviceOf)
  const wanted = new Map<string, ServiceSpec>(manual.map((service) => [frontendKey(service.frontend), service]))
  const found = services.flatMap((service) => translate(service, byKey.get(keyOf(service)), slicesOf.get(keyOf(service)) ?? [], nodes))
    .filter(({ key, wanted: { frontend } }) => (six || familyOf(frontend.ip) === 4) && !wanted.has(key))
  ids.keep(new Set([...wanted.keys(), ...found.map(({ key }) => key)]))
  for (const [key, { id }] of wanted) ids.claim(key, id)
  // New ones get their numbers in the order of their addresses.
  for (const { key } of found.filter(({ key }) => !ids.has(key)).sort((a, b) => compareFrontends(a.wanted.frontend, b.wanted.frontend))) ids.of(key)
  for (const one of found) {
    const id = ids.of(one.key)
    if (one.spec?.id !== id) one.spec = { id, ...one.wanted }
    wanted.set(one.key, one.spec)
  }
  return wanted
}

const compareFrontends = (a: Frontend, b: Frontend): number => compareIPs(a.ip, b.ip) || a.port - b.port || (a.protocol < b.protocol ? -1 : 1)

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

  has(key: string): boolean { return this.#ids.has(key) }

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

/** IPv4 before IPv6, which is in the order of its text. */
export function compareIPs(a: string, b: string): number {
  if (familyOf(a) !== familyOf(b)) return familyOf(a) - familyOf(b)
  return familyOf(a) === 4 ? numberOf(a) - numberOf(b) : a < b ? -1 : a > b ? 1 : 0
}

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
