import * as z from 'zod/mini'
import { namespaceLabel, parseLabel } from '../identity/labels.ts'
import type { CiliumNetworkPolicy } from '../k8s/types.ts'
import { inNamespace } from './networkpolicy.ts'
import { policyLabels, type EgressRule, type IngressRule, type PortRule, type Requirement, type Rule, type RuleLabel, type Selector, type ServiceReference, type Translation } from './rule.ts'
import { InvalidRule, oneKindOfPeers, onlyTCP, toCIDR, toCIDRSet, toEntity, toHTTPRule, toICMPType, toMatchName, toPort, toProtocol } from './sanitize.ts'
import { namespaceMetaPrefix } from './selector.ts'

const selector = z.object({
  matchLabels: z.optional(z.record(z.string(), z.string())),
  matchExpressions: z.optional(z.array(z.object({ key: z.string(), operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']), values: z.optional(z.array(z.string())) }))),
})
const text = z.union([z.string(), z.number()])
const strings = z.optional(z.array(z.string()))
const selectors = z.optional(z.array(selector))
const cidrSet = z.optional(z.array(z.object({ cidr: z.string(), except: strings })))
const httpRule = z.strictObject({ method: z.optional(z.string()), path: z.optional(z.string()), host: z.optional(z.string()), headers: strings })
const toPorts = z.optional(z.array(z.looseObject({ ports: z.optional(z.array(z.object({ port: text, protocol: z.optional(z.string()) }))), rules: z.optional(z.looseObject({ http: z.optional(z.array(httpRule)) })) })))
const icmps = z.optional(z.array(z.object({ fields: z.array(z.object({ family: z.optional(z.string()), type: text })) })))
const service = z.object({
  k8sService: z.optional(z.object({ serviceName: z.string(), namespace: z.optional(z.string()) })),
  k8sServiceSelector: z.optional(z.object({ selector, namespace: z.optional(z.string()) })),
})
const ingress = z.looseObject({ fromEndpoints: selectors, fromRequires: selectors, fromEntities: strings, fromCIDR: strings, fromCIDRSet: cidrSet, toPorts, icmps })
const egress = z.looseObject({ toEndpoints: selectors, toRequires: selectors, toEntities: strings, toCIDR: strings, toCIDRSet: cidrSet, toServices: z.optional(z.array(service)), toFQDNs: z.optional(z.array(z.strictObject({ matchName: z.string() }))), toPorts, icmps })
const label = z.union([z.string(), z.object({ key: z.string(), value: z.optional(z.string()), source: z.optional(z.string()) })])
const rule = z.looseObject({
  endpointSelector: z.optional(selector), description: z.optional(z.string()), labels: z.optional(z.array(label)), ingress: z.optional(z.array(ingress)), egress: z.optional(z.array(egress)),
})
type ParsedRule = z.infer<typeof rule>
type ParsedSelector = z.infer<typeof selector>

const understood = {
  rule: new Set(['endpointSelector', 'description', 'labels', 'ingress', 'egress']),
  ingress: new Set(Object.keys(ingress.shape)), egress: new Set(Object.keys(egress.shape)),
}

/** A CiliumNetworkPolicy's rules. Not supported: L7 rules other than HTTP, patterns of names (toFQDNs.matchPattern). Throws InvalidRule when the object doesn't have the form of one. */
export function fromCiliumNetworkPolicy(policy: CiliumNetworkPolicy): Translation {
  const { name, namespace = 'default' } = policy.metadata
  const specs = [...(policy.spec === undefined ? [] : [policy.spec]), ...(policy.specs ?? [])]
  if (specs.length === 0) throw new InvalidRule('a CiliumNetworkPolicy must have spec or specs')
  const unsupported: string[] = []
  const rules = specs.map((spec) => translate(parse(spec), unsupported, {
    own: (it) => inNamespace(it, namespace), peer: (it) => scoped(it, namespace), namespace, labels: policyLabels(name, namespace),
  }))
  return { rules, unsupported }
}

/** Rules that were not applied through Kubernetes: their selectors are of all namespaces. Throws InvalidRule for anything that would not be enforced as it stands. */
export function fromRules(specs: unknown[]): Rule[] {
  const unsupported: string[] = []
  const rules = specs.map((spec) => {
    const parsed = parse(spec)
    return translate(parsed, unsupported, { own: (it) => it, peer: (it) => it, namespace: 'default', labels: (parsed.labels ?? []).map(toLabel) })
  })
  if (unsupported.length > 0) throw new InvalidRule(unsupported.join('; '))
  return rules
}

function toLabel(it: z.infer<typeof label>): RuleLabel {
  if (typeof it !== 'string') return { key: it.key, value: it.value ?? '', source: it.source ?? '' }
  return parseLabel(it)
}

function parse(spec: unknown): ParsedRule {
  const result = rule.safeParse(spec)
  if (!result.success) throw new InvalidRule(result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '))
  if (result.data.endpointSelector === undefined) throw new InvalidRule('rule cannot have nil EndpointSelector')
  return result.data
}

interface Scope { own: (it: Selector) => Selector; peer: (it: Selector) => Selector; namespace: string; labels: RuleLabel[] }

function translate(parsed: ParsedRule, unsupported: string[], scope: Scope): Rule {
  const result: Rule = { endpointSelector: scope.own(withSources(parsed.endpointSelector!)), labels: scope.labels }
  if (parsed.description !== undefined) result.description = parsed.description
  unsupported.push(...strangers(parsed, understood.rule, 'rule'))
  // Sanitized even where a part is not supported: what is wrong is told first.
  const whole = <T extends object>(it: { toPorts?: z.infer<typeof toPorts> }, side: 'ingress' | 'egress', rule: T): T => {
    const gaps = [...strangers(it, understood[side], side), ...(it.toPorts ?? []).flatMap(strangersOfPorts).map((key) => `${side}: toPorts.${key} is not supported`)]
    unsupported.push(...gaps)
    return gaps.length > 0 ? {} as T : rule
  }
  if (parsed.ingress !== undefined && parsed.ingress.length > 0) result.ingress = parsed.ingress.map((it) => whole(it, 'ingress', toIngress(it, scope)))
  if (parsed.egress !== undefined && parsed.egress.length > 0) result.egress = parsed.egress.map((it) => whole(it, 'egress', toEgress(it, scope)))
  return result
}

const strangersOfPorts = ({ ports: _, rules = {}, ...other }: NonNullable<z.infer<typeof toPorts>>[number]): string[] =>
  [...Object.keys(other), ...Object.keys(rules).filter((key) => key !== 'http').map((key) => `rules.${key}`)]
const strangers = (it: object, known: Set<string>, where: string): string[] => Object.keys(it).filter((key) => !known.has(key)).map((key) => `${where}: ${key} is not supported`)

function toIngress(it: z.infer<typeof ingress>, { peer }: Scope): IngressRule {
  oneKindOfPeers({ FromEndpoints: it.fromEndpoints?.length ?? 0, FromCIDR: it.fromCIDR?.length ?? 0, FromCIDRSet: it.fromCIDRSet?.length ?? 0, FromEntities: it.fromEntities?.length ?? 0 })
  const selected = (list: ParsedSelector[]) => list.map((one) => peer(withSources(one)))
  return defined({
    fromEndpoints: it.fromEndpoints && selected(it.fromEndpoints), fromRequires: it.fromRequires && selected(it.fromRequires), fromEntities: it.fromEntities?.map(toEntity),
    fromCIDR: it.fromCIDR?.map(toCIDR), fromCIDRSet: it.fromCIDRSet?.map(toCIDRSet), ...ports(it),
  })
}

function toEgress(it: z.infer<typeof egress>, { peer, namespace }: Scope): EgressRule {
  oneKindOfPeers({
    ToEndpoints: it.toEndpoints?.length ?? 0, ToCIDR: it.toCIDR?.length ?? 0, ToCIDRSet: it.toCIDRSet?.length ?? 0, ToEntities: it.toEntities?.length ?? 0, ToServices: it.toServices?.length ?? 0,
    ToFQDNs: it.toFQDNs?.length ?? 0,
  })
  const selected = (list: ParsedSelector[]) => list.map((one) => peer(withSources(one)))
  return defined({
    toEndpoints: it.toEndpoints && selected(it.toEndpoints), toRequires: it.toRequires && selected(it.toRequires), toEntities: it.toEntities?.map(toEntity),
    toCIDR: it.toCIDR?.map(toCIDR), toCIDRSet: it.toCIDRSet?.map(toCIDRSet), toServices: it.toServices?.map((one) => toService(one, namespace)), toFQDNs: it.toFQDNs?.map(({ matchName }) => ({ matchName: toMatchName(matchName) })), ...ports(it),
  })
}

function ports(it: { toPorts?: z.infer<typeof toPorts>; icmps?: z.infer<typeof icmps> }): Pick<IngressRule, 'toPorts' | 'icmps'> {
  return defined({
    toPorts: it.toPorts?.map(({ ports = [], rules }) => toPortRule({ ports: ports.map(({ port, protocol }) => ({ port: toPort(port), protocol: toProtocol(protocol) })) }, rules?.http)),
    icmps: it.icmps?.map(({ fields }) => ({ fields: fields.map(({ family = 'IPv4', type }) => {
      if (family !== 'IPv4' && family !== 'IPv6') throw new InvalidRule(`unsupported ICMP family: ${family}`)
      return { ...(family === 'IPv6' ? { family } : {}), type: toICMPType(type) }
    }) })),
  })
}

/** No rule in the list is no list, as in Cilium; one that asks for nothing lets every request through, and has it logged. */
function toPortRule({ ports }: PortRule, http: z.infer<typeof httpRule>[] = []): PortRule {
  if (http.length === 0) return { ports }
  onlyTCP(ports)
  return { ports, rules: { http: http.map((it) => toHTTPRule(defined(it))) } }
}

function toService({ k8sService, k8sServiceSelector }: z.infer<typeof service>, namespace: string): ServiceReference {
  return defined({
    k8sService: k8sService && { serviceName: k8sService.serviceName, namespace: k8sService.namespace ?? namespace },
    k8sServiceSelector: k8sServiceSelector && defined({ selector: clean(k8sServiceSelector.selector), namespace: k8sServiceSelector.namespace }),
  })
}

/** Without the keys whose value is undefined. */
function defined<T extends object>(it: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(it).filter(([, value]) => value !== undefined)) as { [K in keyof T]: Exclude<T[K], undefined> }
}

const clean = ({ matchLabels, matchExpressions }: ParsedSelector): Selector =>
  ({ ...(matchLabels === undefined ? {} : { matchLabels }), ...(matchExpressions === undefined ? {} : { matchExpressions: matchExpressions as Requirement[] }) })

/** Keys without a source match labels of any source. */
function withSources({ matchLabels, matchExpressions }: ParsedSelector): Selector {
  const sourced = (key: string) => (parseLabel(key).source === '' ? `any:${key}` : key)
  return {
    ...(matchLabels === undefined ? {} : { matchLabels: Object.fromEntries(Object.entries(matchLabels).map(([key, value]) => [sourced(key), value])) }),
    ...(matchExpressions === undefined ? {} : { matchExpressions: matchExpressions.map((it) => ({ ...it, key: sourced(it.key) }) as Requirement) }),
  }
}

/** A peer is sought in the policy's own namespace unless it says otherwise, or is a reserved identity. */
function scoped(peer: Selector, namespace: string): Selector {
  const keys = [...Object.keys(peer.matchLabels ?? {}), ...(peer.matchExpressions ?? []).map(({ key }) => key)].map(parseLabel)
  const elsewhere = keys.some(({ source, key }) => source === 'reserved' || key === namespaceLabel || key.startsWith(namespaceMetaPrefix))
  return elsewhere ? peer : inNamespace(peer, namespace)
}
