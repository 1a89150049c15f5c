import type { PolicyAllow, Protocol } from '../datapath/types.ts'
import type { Labels } from '../identity/labels.ts'
import { firstAllocated, reserved } from '../identity/reserved.ts'
import type { PortRule, Rule, Selector } from './rule.ts'
import { matches, selectsAll, type NamespaceLabels } from './selector.ts'

export type EnforcementMode = 'default' | 'always' | 'never'

/** What rules are resolved against. */
export interface World {
  rules: Rule[]
  identities: ReadonlyMap<number, Labels>
  namespaceLabels: NamespaceLabels
  /** The identity that an address has, where one is known. */
  identityOfIP: (ip: string) => number | undefined
  mode: EnforcementMode
}
export interface Subject { labels: Labels; /** `http/TCP` → 8080, of the pod's containers. */ namedPorts: ReadonlyMap<string, number> }
/** Undefined: not enforced. Lists are sorted and without duplicates. */
export interface ResolvedPolicy { ingress?: PolicyAllow[]; egress?: PolicyAllow[] }

const anyone = 0

export function resolvePolicy(subject: Subject, world: World): ResolvedPolicy {
  if (world.mode === 'never') return {}
  const selecting = world.rules.filter((rule) => matches(rule.endpointSelector, subject.labels, world.namespaceLabels))
  const ingress = selecting.flatMap((rule) => rule.ingress ?? [])
  const egress = selecting.flatMap((rule) => rule.egress ?? [])
  const result: ResolvedPolicy = {}
  if (ingress.length > 0 || world.mode === 'always') {
    result.ingress = normalize(ingress.flatMap(({ fromEndpoints, fromEntities, fromCIDR, toPorts }) => allows({ endpoints: fromEndpoints, entities: fromEntities, cidrs: fromCIDR, toPorts }, subject, world)))
  }
  if (egress.length > 0 || world.mode === 'always') {
    // A named port means a port of the peer's pod there, which isn't known here: it allows nothing.
    const nobody: Subject = { labels: [], namedPorts: new Map() }
    result.egress = normalize(egress.flatMap(({ toEndpoints, toEntities, toCIDR, toPorts }) => allows({ endpoints: toEndpoints, entities: toEntities, cidrs: toCIDR, toPorts }, nobody, world)))
  }
  return result
}

interface Peers { endpoints: Selector[] | undefined; entities: string[] | undefined; cidrs: string[] | undefined; toPorts: PortRule[] | undefined }

function allows({ endpoints, entities, cidrs, toPorts }: Peers, subject: Subject, world: World): PolicyAllow[] {
  const unlimited = endpoints === undefined && entities === undefined && cidrs === undefined
  if (unlimited && toPorts === undefined) return []
  const peers = unlimited ? [anyone] : [
    ...(endpoints ?? []).flatMap((selector) => selected(selector, world)),
    ...(entities ?? []).flatMap((entity) => ofEntity(entity, world)),
    ...(cidrs ?? []).flatMap((cidr) => ofCIDR(cidr, world)),
  ]
  const ports = toPorts === undefined ? [{ port: 0, protocol: 'ANY' as const }] : toPorts.flatMap(({ ports }) => ports.flatMap((port) => resolvePort(port, subject)))
  return peers.flatMap((identity) => ports.map((port) => ({ identity, ...port })))
}

function selected(selector: Selector, world: World): number[] {
  if (selectsAll(selector)) return [anyone]
  return [...world.identities].filter(([, labels]) => matches(selector, labels, world.namespaceLabels)).map(([id]) => id)
}

function ofEntity(entity: string, world: World): number[] {
  switch (entity) {
    case 'all': return [anyone]
    case 'host': return [reserved.host]
    case 'world': return [reserved.world]
    case 'init': return [reserved.init]
    case 'health': return [reserved.health]
    case 'cluster': return [...world.identities.keys()].filter((id) => id >= firstAllocated || (id !== reserved.world && id !== reserved.unknown))
    default: return []
  }
}

function ofCIDR(cidr: string, world: World): number[] {
  if (cidr === '0.0.0.0/0') return [reserved.world]
  const identity = cidr.endsWith('/32') ? world.identityOfIP(cidr.slice(0, -3)) : undefined
  return identity === undefined ? [] : [identity]
}

function resolvePort({ port, protocol = 'ANY' }: { port: string; protocol?: Protocol }, { namedPorts }: Subject): { port: number; protocol: Protocol }[] {
  const protocols: Protocol[] = protocol === 'ANY' && port !== '0' ? ['TCP', 'UDP'] : [protocol]
  return protocols.flatMap((protocol) => {
    const number = /^\d+$/.test(port) ? Number(port) : namedPorts.get(`${port}/${protocol}`)
    return number === undefined ? [] : [{ port: number, protocol }]
  })
}

function normalize(list: PolicyAllow[]): PolicyAllow[] {
  const unique = new Map(list.map((allow) => [`${allow.identity}/${allow.port}/${allow.protocol}`, allow]))
  return [...unique.values()].sort((a, b) => a.identity - b.identity || a.port - b.port || (a.protocol < b.protocol ? -1 : a.protocol > b.protocol ? 1 : 0))
}
