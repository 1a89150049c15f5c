import { namespaceLabel } from '../identity/labels.ts'
import type { LabelSelector, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort } from '../k8s/types.ts'
import { policyLabels, type CIDRRule, type EgressRule, type IngressRule, type PortRule, type Requirement, type Rule, type Selector, type Translation } from './rule.ts'
import { toCIDRSet } from './sanitize.ts'
import { namespaceMetaPrefix } from './selector.ts'

type Peers = { endpoints: Selector[]; cidrs: CIDRRule[] } | undefined

/** A NetworkPolicy as one rule. Addresses of pods and nodes are in no ipBlock, as in Cilium. Not supported: endPort, SCTP. */
export function fromNetworkPolicy(policy: NetworkPolicy): Translation {
  const { name, namespace = 'default' } = policy.metadata
  const { podSelector, ingress, egress, policyTypes = ['Ingress', ...(egress === undefined ? [] : ['Egress'])] } = policy.spec
  const unsupported: string[] = []
  const rule: Rule = { endpointSelector: inNamespace(toSelector(podSelector, 'k8s:'), namespace), labels: policyLabels(name, namespace) }
  if (policyTypes.includes('Ingress')) {
    rule.ingress = withDefaultDeny((ingress ?? []).map((it): IngressRule => {
      const [peers, ports] = [toPeers(it.from, namespace), toPorts(it.ports, unsupported)]
      return { ...(peers === undefined ? everyone('fromEndpoints', ports) : { fromEndpoints: peers.endpoints, ...cidrs('fromCIDRSet', peers.cidrs) }), ...ports }
    }))
  }
  if (policyTypes.includes('Egress')) {
    rule.egress = withDefaultDeny((egress ?? []).map((it): EgressRule => {
      const [peers, ports] = [toPeers(it.to, namespace), toPorts(it.ports, unsupported)]
      return { ...(peers === undefined ? everyone('toEndpoints', ports) : { toEndpoints: peers.endpoints, ...cidrs('toCIDRSet', peers.cidrs) }), ...ports }
    }))
  }
  return { rules: [rule], unsupported }
}

/** An empty rule allows nobody: it is what makes a policy without rules deny. */
const withDefaultDeny = <T extends object>(rules: T[]): T[] => (rules.length === 0 ? [{} as T] : rules)
const everyone = (key: string, ports: object): object => ('toPorts' in ports ? {} : { [key]: [{}] })
const cidrs = (key: string, list: CIDRRule[]): object => (list.length === 0 ? {} : { [key]: list })

function toPeers(peers: NetworkPolicyPeer[] | undefined, namespace: string): Peers {
  if (peers === undefined || peers.length === 0) return undefined
  const found: Peers = { endpoints: [], cidrs: [] }
  for (const { podSelector, namespaceSelector, ipBlock } of peers) {
    if (ipBlock !== undefined) {
      found.cidrs.push(toCIDRSet(ipBlock))
      continue
    }
    const pods = toSelector(podSelector ?? {}, 'k8s:')
    found.endpoints.push(namespaceSelector === undefined ? inNamespace(pods, namespace) : inNamespaces(pods, namespaceSelector))
  }
  return found
}

function toPorts(ports: NetworkPolicyPort[] | undefined, unsupported: string[]): { toPorts?: PortRule[] } {
  if (ports === undefined || ports.length === 0) return {}
  const list = ports.flatMap(({ port, endPort, protocol = 'TCP' }) => {
    if (endPort !== undefined && endPort !== port) { unsupported.push(`port range ${port}-${endPort}`); return [] }
    if (protocol === 'TCP' || protocol === 'UDP') return [{ port: String(port ?? 0), protocol } as const]
    unsupported.push(`port protocol ${protocol}`)
    return []
  })
  return { toPorts: [{ ports: list }] }
}

/** Adds a source to every key. */
export function toSelector({ matchLabels, matchExpressions }: LabelSelector, prefix: string): Selector {
  const selector: Selector = {}
  if (matchLabels !== undefined) selector.matchLabels = Object.fromEntries(Object.entries(matchLabels).map(([key, value]) => [prefix + key, value]))
  if (matchExpressions !== undefined) selector.matchExpressions = matchExpressions.map((it) => ({ ...it, key: prefix + it.key }) as Requirement)
  return selector
}

export function inNamespace(selector: Selector, namespace: string): Selector {
  return { ...selector, matchLabels: { ...selector.matchLabels, [`k8s:${namespaceLabel}`]: namespace } }
}

function inNamespaces(pods: Selector, namespaces: LabelSelector): Selector {
  const { matchLabels, matchExpressions = [] } = toSelector(namespaces, `k8s:${namespaceMetaPrefix}`)
  const anyNamespace: Requirement[] = matchLabels === undefined && matchExpressions.length === 0 ? [{ key: `k8s:${namespaceLabel}`, operator: 'Exists' }] : []
  const expressions = [...(pods.matchExpressions ?? []), ...matchExpressions, ...anyNamespace]
  return { matchLabels: { ...pods.matchLabels, ...matchLabels }, ...(expressions.length === 0 ? {} : { matchExpressions: expressions }) }
}
