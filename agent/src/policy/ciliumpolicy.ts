import * as z from 'zod/mini'
import { namespaceLabel, parseLabel } from '../identity/labels.ts'
import type { CiliumNetworkPolicy } from '../k8s/types.ts'
import { inNamespace } from './networkpolicy.ts'
import { policyLabels, type EgressRule, type IngressRule, type Requirement, type Rule, type Selector, type Translation } from './rule.ts'
import { namespaceMetaPrefix } from './selector.ts'

const selector = z.object({
  matchLabels: z.optional(z.record(z.string(), z.string())),
  matchExpressions: z.optional(z.array(z.object({ key: z.string(), operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']), values: z.optional(z.array(z.string())) }))),
})
const port = z.union([z.string(), z.number()])
const toPorts = z.optional(z.array(z.looseObject({ ports: z.optional(z.array(z.object({ port, protocol: z.optional(z.string()) }))) })))
const strings = z.optional(z.array(z.string()))
const rule = z.looseObject({
  endpointSelector: selector, description: z.optional(z.string()),
  ingress: z.optional(z.array(z.looseObject({ fromEndpoints: z.optional(z.array(selector)), fromEntities: strings, fromCIDR: strings, toPorts }))),
  egress: z.optional(z.array(z.looseObject({ toEndpoints: z.optional(z.array(selector)), toEntities: strings, toCIDR: strings, toPorts }))),
})
type ParsedRule = z.infer<typeof rule>
type Direction = NonNullable<ParsedRule['ingress']>[number] & NonNullable<ParsedRule['egress']>[number]

const entities = new Set(['host', 'world', 'cluster', 'all', 'init', 'health', 'none'])
const understood = new Set(['fromEndpoints', 'fromEntities', 'fromCIDR', 'toEndpoints', 'toEntities', 'toCIDR', 'toPorts'])

/** A CiliumNetworkPolicy's rules. Gaps: requires, CIDR sets, services, names, L7 rules. Throws when the object doesn't have the form of one. */
export function fromCiliumNetworkPolicy(policy: CiliumNetworkPolicy): Translation {
  const { name, namespace = 'default' } = policy.metadata
  const specs = [...(policy.spec === undefined ? [] : [policy.spec]), ...(policy.specs ?? [])]
  const unsupported: string[] = []
  const rules = specs.map((spec) => translate(parse(spec), name, namespace, unsupported))
  return { rules, unsupported }
}

function parse(spec: unknown): ParsedRule {
  const result = rule.safeParse(spec)
  if (result.success) return result.data
  throw new Error(result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '))
}

function translate(parsed: ParsedRule, name: string, namespace: string, unsupported: string[]): Rule {
  const result: Rule = { endpointSelector: inNamespace(withSources(parsed.endpointSelector), namespace), labels: policyLabels(name, namespace) }
  if (parsed.description !== undefined) result.description = parsed.description
  const direction = (it: Direction, where: string): IngressRule & EgressRule => {
    const reasons = gaps(it)
    unsupported.push(...reasons.map((reason) => `${where}: ${reason}`))
    return reasons.length > 0 ? {} : {
      ...(it.fromEndpoints === undefined ? {} : { fromEndpoints: it.fromEndpoints.map((peer) => scoped(withSources(peer), namespace)) }),
      ...(it.toEndpoints === undefined ? {} : { toEndpoints: it.toEndpoints.map((peer) => scoped(withSources(peer), namespace)) }),
      ...copy(it, 'fromEntities'), ...copy(it, 'toEntities'), ...copy(it, 'fromCIDR'), ...copy(it, 'toCIDR'),
      ...(it.toPorts === undefined ? {} : { toPorts: it.toPorts.map(({ ports = [] }) => ({ ports: ports.map(toPort) })) }),
    }
  }
  if (parsed.ingress !== undefined && parsed.ingress.length > 0) result.ingress = parsed.ingress.map((it) => direction(it as Direction, 'ingress'))
  if (parsed.egress !== undefined && parsed.egress.length > 0) result.egress = parsed.egress.map((it) => direction(it as Direction, 'egress'))
  return result
}

const copy = <K extends string>(from: Partial<Record<K, string[] | undefined>>, key: K): Partial<Record<K, string[]>> => (from[key] === undefined ? {} : { [key]: from[key] }) as Partial<Record<K, string[]>>

function toPort({ port, protocol }: { port: string | number; protocol?: string | undefined }) {
  return { port: String(port), protocol: (protocol?.toUpperCase() ?? 'ANY') as 'TCP' | 'UDP' | 'ANY' }
}

function gaps(it: Direction): string[] {
  const found = Object.keys(it).filter((key) => !understood.has(key)).map((key) => `${key} is not supported`)
  for (const entity of [...(it.fromEntities ?? []), ...(it.toEntities ?? [])]) if (!entities.has(entity)) found.push(`unknown entity ${entity}`)
  for (const cidr of [...(it.fromCIDR ?? []), ...(it.toCIDR ?? [])]) if (cidr !== '0.0.0.0/0' && !cidr.endsWith('/32')) found.push(`CIDR ${cidr} is not supported`)
  for (const { ports = [], ...other } of it.toPorts ?? []) {
    found.push(...Object.keys(other).map((key) => `toPorts.${key} is not supported`))
    for (const port of ports) if (!['TCP', 'UDP', 'ANY'].includes(toPort(port).protocol)) found.push(`protocol ${port.protocol} is not supported`)
  }
  return found
}

/** Keys without a source match labels of any source. */
function withSources({ matchLabels, matchExpressions }: z.infer<typeof selector>): Selector {
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
