/**
 * A policy rule in the shape `cilium policy get` prints. NetworkPolicies and CiliumNetworkPolicies both become rules. Selector keys carry
 * their source: `k8s:app`, `any:app`, `reserved:host`.
 */
export interface Requirement { key: string; operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'; values?: string[] }
export interface Selector { matchLabels?: Record<string, string>; matchExpressions?: Requirement[] }
export interface PortProtocol { port: string; protocol?: 'TCP' | 'UDP' | 'ANY' }
/** What a request must be, whole: regular expressions (RE2) over all of its method, path (with its query) and Host; headers as `Name value`, or `Name` for any value. */
export interface HTTPRule { method?: string; path?: string; host?: string; headers?: string[] }
/** With `rules` the ports are open to requests that one of them matches. */
export interface PortRule { ports: PortProtocol[]; rules?: { http: HTTPRule[] } }
/** ICMP by type, of any code; of IPv4 unless it says otherwise. */
export interface ICMPRule { fields: { family?: 'IPv4' | 'IPv6'; type: number }[] }
/** Whatever addresses a name has, as the agent finds them out by asking; in lower case, without a dot at its end. */
export interface FQDNRule { matchName: string }
export interface CIDRRule { cidr: string; except?: string[] }
/** A service whose Endpoints were made by hand; services with a selector lead to pods, which `toEndpoints` is for. */
export interface ServiceReference { k8sService?: { serviceName: string; namespace?: string }; k8sServiceSelector?: { selector: Selector; namespace?: string } }
/**
 * Peers are alternatives. No peer field at all and ports: everyone. Nothing at all: nobody, but the endpoint is enforced. `fromRequires`
 * allows nothing itself: whoever `fromEndpoints` of any rule lets in must match all of it too.
 */
export interface IngressRule { fromEndpoints?: Selector[]; fromRequires?: Selector[]; fromEntities?: string[]; fromCIDR?: string[]; fromCIDRSet?: CIDRRule[]; toPorts?: PortRule[]; icmps?: ICMPRule[] }
export interface EgressRule {
  toEndpoints?: Selector[]; toRequires?: Selector[]; toEntities?: string[]; toCIDR?: string[]; toCIDRSet?: CIDRRule[]; toServices?: ServiceReference[]; toFQDNs?: FQDNRule[]; toPorts?: PortRule[]; icmps?: ICMPRule[]
}
export interface RuleLabel { key: string; value: string; source: string }
export interface Rule { endpointSelector: Selector; ingress?: IngressRule[]; egress?: EgressRule[]; labels: RuleLabel[]; description?: string }

/** What a policy asks for and lash can't do. The rule that has it allows nothing, so that less is let through than asked for, never more. */
export interface Translation { rules: Rule[]; unsupported: string[] }

export const policyLabels = (name: string, namespace: string): RuleLabel[] => [
  { key: 'io.cilium.k8s.policy.name', value: name, source: 'k8s' }, { key: 'io.cilium.k8s.policy.namespace', value: namespace, source: 'k8s' },
]
/** `k8s:io.cilium.k8s.policy.name=x`, as events and lists show a rule's labels. */
export const labelText = ({ source, key, value }: RuleLabel): string => `${source}:${key}=${value}`

/** Whether a rule has all of these labels; a wanted one's source may be left out, or `any`. */
export const hasLabels = ({ labels }: Pick<Rule, 'labels'>, wanted: readonly RuleLabel[]): boolean =>
  wanted.every(({ source, key, value }) => labels.some((label) => label.key === key && label.value === value && ['', 'any', label.source].includes(source)))

/** The peers of either direction, by one set of names. */
export interface Peers {
  endpoints?: Selector[] | undefined; requires?: Selector[] | undefined; entities?: string[] | undefined; cidrs?: CIDRRule[] | undefined; services?: ServiceReference[] | undefined
  names?: string[] | undefined
  toPorts?: PortRule[] | undefined; icmps?: ICMPRule[] | undefined
}

/** Whether it is for some peers; else it is for everyone. */
export const isLimited = ({ endpoints, entities, cidrs, services, names }: Peers): boolean => [endpoints, entities, cidrs, services, names].some((peers) => peers !== undefined)
/** Whether it is for some ports or ICMP types; else it is for all. */
export const isPorted = ({ toPorts = [], icmps = [] }: Peers): boolean => toPorts.length > 0 || icmps.length > 0

/** undefined unless one of them is there. */
const joined = (plain: string[] | undefined, sets: CIDRRule[] | undefined): CIDRRule[] | undefined =>
  plain === undefined && sets === undefined ? undefined : [...(plain ?? []).map((cidr) => ({ cidr })), ...(sets ?? [])]

export const ingressPeers = (rule: IngressRule): Peers => ({ endpoints: rule.fromEndpoints, requires: rule.fromRequires, entities: rule.fromEntities, cidrs: joined(rule.fromCIDR, rule.fromCIDRSet), toPorts: rule.toPorts, icmps: rule.icmps })
export const egressPeers = (rule: EgressRule): Peers =>
  ({ endpoints: rule.toEndpoints, requires: rule.toRequires, entities: rule.toEntities, cidrs: joined(rule.toCIDR, rule.toCIDRSet), services: rule.toServices, names: rule.toFQDNs?.map(({ matchName }) => matchName), toPorts: rule.toPorts, icmps: rule.icmps })
