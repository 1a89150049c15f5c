import { contains, normalized } from '../cluster/cidr.ts'
import type { Protocol } from '../datapath/types.ts'
import { hasFault } from '../fault.ts'
import type { Labels } from '../identity/labels.ts'
import { firstAllocated, reserved } from '../identity/reserved.ts'
import { egressPeers, ingressPeers, isLimited, isPorted, type CIDRRule, type Peers, type Rule, type Selector, type ServiceReference } from './rule.ts'
import { anyone, normalize, type Allow } from './allow.ts'
import { matches, selectsAll, type NamespaceLabels } from './selector.ts'

export type EnforcementMode = 'default' | 'always' | 'never'

/** What rules are resolved against. */
export interface World {
  rules: Rule[]
  identities: ReadonlyMap<number, Labels>
  /** Prefixes that have an identity of their own: those of `prefixesOf`, or more. */
  cidrs: ReadonlyMap<number, string>
  /** Those of them that the datapath has not: their addresses have the identity of the prefix around them. */
  absent: ReadonlySet<string>
  namespaceLabels: NamespaceLabels
  /** Addresses behind a service that was given its Endpoints by hand. */
  serviceAddresses: (service: ServiceReference) => string[]
  /** Addresses that a name has, as far as is known. */
  nameAddresses: (name: string) => readonly string[]
  /** Ports that pods of an identity name, `http/TCP` → 8080. Pods may differ. */
  namedPorts: (identity: number) => ReadonlyMap<string, readonly number[]>
  mode: EnforcementMode
}
export interface Subject { labels: Labels; /** `http/TCP` → 8080, of the pod's containers; several where it stands for several pods. */ namedPorts: ReadonlyMap<string, number | readonly number[]> }
/** Undefined: not enforced. Lists are sorted and without duplicates. */
export interface ResolvedPolicy { ingress?: Allow[]; egress?: Allow[] }

const everywhere = '0.0.0.0/0'
/** Has an identity where the other is named, so that a rule for all of IPv4's world lets in none of IPv6's. */
const everywhere6 = '::/0'

export const selecting = (rules: Rule[], labels: Labels, namespaceLabels: NamespaceLabels): Rule[] => rules.filter((rule) => matches(rule.endpointSelector, labels, namespaceLabels))

/** What the rules allow a pod. A rule for a direction, even an empty one, is what enforces it. */
export function resolvePolicy(subject: Subject, world: World): ResolvedPolicy {
  if (world.mode === 'never') return {}
  const rules = selecting(world.rules, subject.labels, world.namespaceLabels)
  const ingress = rules.flatMap((rule) => rule.ingress ?? []).map(ingressPeers)
  const egress = rules.flatMap((rule) => rule.egress ?? []).map(egressPeers)
  const result: ResolvedPolicy = {}
  const own = new Map([...subject.namedPorts].map(([name, port]) => [name, [port].flat()]))
  if (ingress.length > 0 || world.mode === 'always') result.ingress = direction(ingress, world, () => own)
  if (egress.length > 0 || world.mode === 'always') result.egress = direction(egress, world, world.namedPorts)
  return result
}

/** The prefixes that must have an identity for these pods' policies to be told apart, exceptions too. */
export function prefixesOf(subjects: Labels[], world: Pick<World, 'rules' | 'namespaceLabels' | 'serviceAddresses' | 'nameAddresses'>): Set<string> {
  const rules = world.rules.filter((rule) => subjects.some((labels) => matches(rule.endpointSelector, labels, world.namespaceLabels)))
  const peers = rules.flatMap(({ ingress = [], egress = [] }) => [...ingress.map(ingressPeers), ...egress.map(egressPeers)])
  const found = peers.flatMap((it) => cidrsOf(it, world)).flatMap(({ cidr, except = [] }) => [cidr, ...except])
  return new Set(found.map((prefix) => (prefix === everywhere ? everywhere6 : prefix)))
}

const cidrsOf = ({ cidrs = [], services = [], names = [] }: Peers, world: Pick<World, 'serviceAddresses' | 'nameAddresses'>): CIDRRule[] =>
  [...cidrs, ...[...services.flatMap(world.serviceAddresses), ...names.flatMap(world.nameAddresses)].map((ip) => ({ cidr: normalized(ip) }))]

export type NamedPorts = World['namedPorts']

function direction(peers: Peers[], world: World, namedPorts: NamedPorts): Allow[] {
  const required = peers.flatMap(({ requires = [] }) => requires)
  return normalize(peers.flatMap((it) => alternatives(it, required, world).flatMap(({ identities }) => identities).flatMap((identity) => portsOf(it, identity, world, namedPorts))))
}

/** One of the peers that a rule allows: as a selector, for whoever reads it, and the identities that it comes to. */
export interface Alternative { selector: Selector; identities: number[] }

/** `required`: what those that are named by labels, or not at all, must match besides. */
export function alternatives(it: Peers, required: Selector[], world: World): Alternative[] {
  if (!isLimited(it)) return isPorted(it) ? [{ selector: {}, identities: selected({}, required, world) }] : []
  return [
    ...(it.endpoints ?? []).map((selector) => ({ selector, identities: selected(selector, required, world) })),
    ...(it.entities ?? []).map((entity) => ({ selector: entitySelector(entity), identities: ofEntity(entity, world) })),
    ...cidrsOf(it, world).map((cidr) => ({ selector: { matchLabels: { [`cidr:${cidr.cidr}`]: '' } }, identities: ofCIDR(cidr, world) })),
  ]
}

/** `cluster` is every identity but the world. */
function entitySelector(entity: string): Selector {
  if (entity === 'all') return {}
  return entity === 'cluster' ? { matchExpressions: [{ key: 'reserved:world', operator: 'DoesNotExist' }] } : { matchLabels: { [`reserved:${entity}`]: '' } }
}

function selected(selector: Selector, required: Selector[], world: World): number[] {
  const all = [selector, ...required]
  if (all.every(selectsAll)) return [anyone]
  return labelled(world).filter(([, labels]) => all.every((it) => matches(it, labels, world.namespaceLabels))).map(([id]) => id)
}

/** All identities with their labels, those of prefixes too. */
export const labelled = ({ identities, cidrs }: Pick<World, 'identities' | 'cidrs'>): [number, Labels][] => [...identities, ...[...cidrs].map(([id, prefix]): [number, Labels] => [id, [`cidr:${prefix}`, 'reserved:world']])]

function ofEntity(entity: string, world: World): number[] {
  switch (entity) {
    case 'all': return [anyone]
    case 'host': return [reserved.host]
    case 'world': return [reserved.world, ...world.cidrs.keys()]
    case 'init': return [reserved.init]
    case 'health': return [reserved.health]
    case 'cluster': return [...world.identities.keys()].filter((id) => id >= firstAllocated || (id !== reserved.world && id !== reserved.unknown))
    default: return []
  }
}

/**
 * Every known prefix that lies in it and in no exception: an address has the identity of the longest prefix, which is never longer than the rule's own. An exception that the datapath has not
 * can't be told from what is around it, so that is left out too.
 */
function ofCIDR({ cidr, except = [] }: CIDRRule, world: World): number[] {
  const inside = [...world.cidrs].filter(([, prefix]) => contains(cidr, prefix) && !except.some((it) => contains(it, prefix))).map(([id]) => id)
  const present = new Map([...world.cidrs].filter(([, prefix]) => !world.absent.has(prefix)).map(([id, prefix]) => [prefix, id]))
  const blurred = new Set([...except, ...(cidr === everywhere ? [everywhere6] : [])].filter((prefix) => !present.has(prefix)).map((prefix) => around(prefix, present)))
  return [...(cidr === everywhere ? [reserved.world] : []), ...inside].filter((id) => !blurred.has(id) || hasFault('refused-exception-allowed'))
}

/** The identity of a prefix that has none of its own: that of the longest it lies in. */
function around(prefix: string, present: ReadonlyMap<string, number>): number {
  const bits = (cidr: string): number => Number(cidr.split('/')[1])
  const outer = [...present.keys()].filter((other) => contains(other, prefix)).sort((a, b) => bits(b) - bits(a))[0]
  return outer === undefined ? reserved.world : present.get(outer)!
}

export function portsOf(peers: Peers, identity: number, world: World, namedPorts: NamedPorts): Allow[] {
  const { toPorts = [], icmps = [] } = peers
  if (!isPorted(peers)) return [{ identity, port: 0, protocol: 'ANY' }]
  const types = icmps.flatMap(({ fields }) => fields.map(({ family, type }): Allow => ({ identity, port: type, protocol: family === 'IPv6' ? 'ICMPv6' : 'ICMP' })))
  return [...types, ...toPorts.flatMap(({ ports, rules }) => ports.map((port) => ({ ...port, rules }))).flatMap(({ port, protocol = 'ANY', rules }) => {
    const requests = rules === undefined ? {} : { http: rules.http }
    if (/^\d+$/.test(port)) return protocolsOf(port, protocol).map((it): Allow => ({ identity, port: Number(port), protocol: it, ...requests }))
    // Whoever has the port must be known to know its number.
    const owners = identity === anyone ? [anyone, ...world.identities.keys()] : [identity]
    return owners.flatMap((owner) => protocolsOf(port, protocol).flatMap((it) => (namedPorts(owner).get(`${port}/${it}`) ?? []).map((number): Allow => ({ identity: owner, port: number, protocol: it, ...requests }))))
  })]
}

const protocolsOf = (port: string, protocol: Protocol): Protocol[] => (protocol === 'ANY' && port !== '0' ? ['TCP', 'UDP'] : [protocol])
