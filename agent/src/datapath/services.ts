/** Services and their backends in the load-balancer maps. */
import { hasFault } from '../fault.ts'
import { hostPort } from '../text/hostport.ts'
import { isIPv6 } from './address.ts'
import type { BpfMap } from './bpf.ts'
import { DatapathError } from './errors.ts'
import {
  decodeAffinity, decodeServiceKey, decodeServiceValue, encodeBackendKey, encodeReverseNat, encodeServiceKey, encodeServiceValue, u32Key, type ServiceValue,
} from './layouts.ts'
import { monotonicSeconds } from './conntrack.ts'
import type { Backend, ServiceSpec } from './types.ts'

/** A service's count has 16 bits. */
const MAX_SLOTS = 65535

/** A backend's slots: as many as it weighs. Spread round, so that the first few are not all of one. */
function slots(backends: Backend[]): Backend[] {
  const most = hasFault('weights-ignored') ? 1 : Math.max(1, ...backends.map(({ weight = 1 }) => weight))
  return Array.from({ length: most }, (_, round) => backends.filter(({ weight = 1 }) => weight > round)).flat().map(({ ip, port }) => ({ ip, port }))
}

/** Slots as backends, in the order of their first; a weight other than 1 is told. */
function weighed(list: Backend[]): Backend[] {
  const counts = new Map<string, Backend & { weight: number }>()
  for (const { ip, port } of list) {
    const known = counts.get(hostPort(ip, port))
    if (known === undefined) counts.set(hostPort(ip, port), { ip, port, weight: 1 })
    else known.weight++
  }
  return [...counts.values()].map(({ weight, ...backend }) => (weight === 1 ? backend : { ...backend, weight }))
}

interface FamilyMaps { services: BpfMap; reverseNat: BpfMap; backends: BpfMap; affinities: BpfMap }

/** The services of one family. */
class FamilyServices {
  private readonly services: BpfMap
  private readonly reverseNat: BpfMap
  private readonly backends: BpfMap
  private readonly affinities: BpfMap
  /** A service has it for an address. */
  private readonly unspecified: string

  constructor({ services, reverseNat, backends, affinities }: FamilyMaps, unspecified: string) {
    this.services = services
    this.reverseNat = reverseNat
    this.backends = backends
    this.affinities = affinities
    this.unspecified = unspecified
  }

  private slot(frontend: ServiceSpec['frontend'], slave: number): ServiceValue | undefined {
    const value = this.services.lookup(encodeServiceKey({ ...frontend, slave }))
    return value === undefined ? undefined : decodeServiceValue(value)
  }

  private setSlot(frontend: ServiceSpec['frontend'], slave: number, value: ServiceValue): void {
    this.services.update(encodeServiceKey({ ...frontend, slave }), encodeServiceValue(value))
  }

  private backendsOf(frontend: ServiceSpec['frontend'], count: number): Backend[] {
    return Array.from({ length: count }, (_, i) => this.slot(frontend, i + 1)).flatMap((slot) => slot === undefined ? [] : [{ ip: slot.ip, port: slot.port }])
  }

  /** In an order that leaves no packet without a backend: what is referred to first, the count, then what is no longer referred to. Of a new one that doesn't fit nothing stays. */
  upsert(service: ServiceSpec): void {
    const { frontend, id } = service, backends = slots(service.backends)
    if (backends.length > MAX_SLOTS) throw new DatapathError(`service ${hostPort(frontend.ip, frontend.port)} has ${backends.length} backends, each counted as often as it weighs; ${MAX_SLOTS} are possible: give it fewer, or smaller weights`)
    const old = this.slot(frontend, 0)
    try { this.write(service, backends, old) } catch (error) {
      if (old === undefined) this.erase(frontend, id, backends)
      throw error
    }
  }

  /** `backends`: one a slot. */
  private write({ id, frontend, affinity = 0 }: ServiceSpec, backends: Backend[], old: ServiceValue | undefined): void {
    const oldBackends = this.backendsOf(frontend, old?.count ?? 0)
    this.reverseNat.update(u32Key(id), encodeReverseNat(frontend.ip, frontend.port))
    for (const backend of backends) this.backends.update(encodeBackendKey(backend.ip, backend.port, id), u32Key(1))
    backends.forEach((backend, i) => this.setSlot(frontend, i + 1, { ...backend, count: 0, revnat: id, affinity: 0 }))
    this.setSlot(frontend, 0, { ip: this.unspecified, port: 0, count: backends.length, revnat: id, affinity })
    for (let slave = backends.length + 1; slave <= (old?.count ?? 0); slave++) this.services.delete(encodeServiceKey({ ...frontend, slave }))
    if (old === undefined) return
    const kept = (backend: Backend): boolean => old.revnat === id && backends.some(({ ip, port }) => ip === backend.ip && port === backend.port)
    for (const backend of oldBackends) if (!kept(backend)) this.backends.delete(encodeBackendKey(backend.ip, backend.port, old.revnat))
    if (old.revnat !== id) this.reverseNat.delete(u32Key(old.revnat))
  }

  delete(frontend: ServiceSpec['frontend']): void {
    const old = this.slot(frontend, 0)
    if (old === undefined) return
    this.erase(frontend, old.revnat, this.backendsOf(frontend, old.count))
  }

  private erase(frontend: ServiceSpec['frontend'], id: number, backends: Backend[]): void {
    for (let slave = 0; slave <= backends.length; slave++) this.services.delete(encodeServiceKey({ ...frontend, slave }))
    // The number may be another frontend's by now.
    if (this.reverseNat.lookup(u32Key(id))?.equals(encodeReverseNat(frontend.ip, frontend.port)) === false) return
    for (const { ip, port } of backends) this.backends.delete(encodeBackendKey(ip, port, id))
    this.reverseNat.delete(u32Key(id))
  }

  list(): ServiceSpec[] {
    return this.services.entries().flatMap(([keyBytes, valueBytes]) => {
      const { slave, ...frontend } = decodeServiceKey(keyBytes)
      const { count, revnat, affinity } = decodeServiceValue(valueBytes)
      return slave === 0 ? [{ id: revnat, frontend, backends: weighed(this.backendsOf(frontend, count)), ...(affinity === 0 ? {} : { affinity }) }] : []
    })
  }

  /** Forgets the affinities that are past their time, or of services that are gone. */
  collectAffinities(): void {
    const now = monotonicSeconds()
    const seconds = new Map(this.list().map(({ id, affinity = 0 }) => [id, affinity]))
    for (const [key, value] of this.affinities.entries()) {
      const { revnat, lastUsed } = decodeAffinity(key, value)
      if (lastUsed + (seconds.get(revnat) ?? 0) < now) this.affinities.delete(key)
    }
  }
}

/** Services of both families, each in maps of its own: cilium_lb4_…, cilium_lb6_…. Numbers are of both. */
export class ServiceMaps {
  private readonly four: FamilyServices
  private readonly six: FamilyServices

  /** `map` is of a name. */
  constructor(map: (name: string) => BpfMap) {
    const of = (family: 4 | 6): FamilyMaps => ({
      services: map(`cilium_lb${family}_services`), reverseNat: map(`cilium_lb${family}_reverse_nat`), backends: map(`cilium_lb${family}_backends`), affinities: map(`cilium_lb${family}_affinity`),
    })
    this.four = new FamilyServices(of(4), '0.0.0.0')
    this.six = new FamilyServices(of(6), '::')
  }

  private of({ ip }: ServiceSpec['frontend']): FamilyServices {
    return isIPv6(ip) ? this.six : this.four
  }

  /** Throws for backends of the other family: packets are not translated from one to the other. */
  upsert(service: ServiceSpec): void {
    const { frontend, backends } = service
    const alien = backends.find(({ ip }) => isIPv6(ip) !== isIPv6(frontend.ip))
    if (alien !== undefined) throw new DatapathError(`service ${hostPort(frontend.ip, frontend.port)} can't have backend ${hostPort(alien.ip, alien.port)}: it is of the other IP family`)
    this.of(frontend).upsert(service)
  }

  delete(frontend: ServiceSpec['frontend']): void {
    this.of(frontend).delete(frontend)
  }

  list(): ServiceSpec[] {
    return [...this.four.list(), ...this.six.list()].sort((a, b) => a.id - b.id)
  }

  collectAffinities(): void {
    this.four.collectAffinities()
    this.six.collectAffinities()
  }
}
