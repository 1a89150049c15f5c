import type { Backend, ServiceSpec } from '../datapath/types.ts'
import type { Endpoints, Service, ServicePort } from '../k8s/types.ts'
import { keyOf } from '../k8s/informer.ts'

export type Frontend = ServiceSpec['frontend']
export const frontendKey = ({ ip, port, protocol }: Frontend): string => `${ip}:${port}/${protocol}`

/** A service's frontends, one for each port of its cluster IP, with the backends its Endpoints name. Headless and external-name services have none. */
export function frontendsOf(service: Service, endpoints: Endpoints | undefined): { frontend: Frontend; backends: Backend[] }[] {
  const { clusterIP, type, ports = [] } = service.spec
  if (clusterIP === undefined || clusterIP === '' || clusterIP === 'None' || type === 'ExternalName' || clusterIP.includes(':')) return []
  return ports.flatMap((port) => {
    const protocol = port.protocol ?? 'TCP'
    if (protocol !== 'TCP' && protocol !== 'UDP') return []
    return [{ frontend: { ip: clusterIP, port: port.port, protocol }, backends: backendsOf(port, endpoints) }]
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

/** All frontends of the cluster, each with the number it keeps for as long as it exists. */
export function desiredServices(services: Service[], endpoints: Endpoints[], ids: ServiceIds): Map<string, ServiceSpec> {
  const byKey = new Map(endpoints.map((object) => [keyOf(object), object]))
  const found = services.flatMap((service) => frontendsOf(service, byKey.get(keyOf(service))))
    .sort((a, b) => compareIPs(a.frontend.ip, b.frontend.ip) || a.frontend.port - b.frontend.port || (a.frontend.protocol < b.frontend.protocol ? -1 : 1))
  ids.keep(new Set(found.map(({ frontend }) => frontendKey(frontend))))
  return new Map(found.map(({ frontend, backends }) => {
    const key = frontendKey(frontend)
    return [key, { id: ids.of(key), frontend, backends }]
  }))
}

/** Numbers frontends. A freed number is used again only after all others: conntrack entries of the old service may still have it. */
export class ServiceIds {
  readonly #ids: Map<string, number>
  #last: number
  constructor(inUse: Iterable<readonly [key: string, id: number]> = []) {
    this.#ids = new Map(inUse)
    this.#last = Math.max(0, ...this.#ids.values())
  }

  of(key: string): number {
    const known = this.#ids.get(key)
    if (known !== undefined) return known
    const used = new Set(this.#ids.values())
    if (used.size >= 65_535) throw new Error('more than 65,535 service frontends: the reverse translation index is full')
    do this.#last = (this.#last % 65_535) + 1
    while (used.has(this.#last))
    this.#ids.set(key, this.#last)
    return this.#last
  }

  /** Forgets every other frontend. */
  keep(keys: Set<string>): void {
    for (const key of this.#ids.keys()) if (!keys.has(key)) this.#ids.delete(key)
  }
}

export function compareIPs(a: string, b: string): number {
  const [x, y] = [a.split('.').map(Number), b.split('.').map(Number)]
  for (let i = 0; i < 4; i++) if (x[i] !== y[i]) return (x[i] ?? 0) - (y[i] ?? 0)
  return 0
}
