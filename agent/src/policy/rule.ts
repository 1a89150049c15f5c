/**
 * A policy rule in the shape `cilium policy get` prints. NetworkPolicies and CiliumNetworkPolicies both become rules. Selector keys carry
 * their source: `k8s:app`, `any:app`, `reserved:host`.
 */
export interface Requirement { key: string; operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'; values?: string[] }
export interface Selector { matchLabels?: Record<string, string>; matchExpressions?: Requirement[] }
export interface PortProtocol { port: string; protocol?: 'TCP' | 'UDP' | 'ANY' }
export interface PortRule { ports: PortProtocol[] }
/** Peers are alternatives. No peer field at all and ports: everyone. Nothing at all: nobody, but the endpoint is enforced. */
export interface IngressRule { fromEndpoints?: Selector[]; fromEntities?: string[]; fromCIDR?: string[]; toPorts?: PortRule[] }
export interface EgressRule { toEndpoints?: Selector[]; toEntities?: string[]; toCIDR?: string[]; toPorts?: PortRule[] }
export interface RuleLabel { key: string; value: string; source: string }
export interface Rule { endpointSelector: Selector; ingress?: IngressRule[]; egress?: EgressRule[]; labels: RuleLabel[]; description?: string }

/** What a policy asks for and lash can't do. The rule that has it allows nothing, so that less is let through than asked for, never more. */
export interface Translation { rules: Rule[]; unsupported: string[] }

export const policyLabels = (name: string, namespace: string): RuleLabel[] => [
  { key: 'io.cilium.k8s.policy.name', value: name, source: 'k8s' }, { key: 'io.cilium.k8s.policy.namespace', value: namespace, source: 'k8s' },
]
/** `k8s:io.cilium.k8s.policy.name=x`, as events and lists show a rule's labels. */
export const labelText = ({ source, key, value }: RuleLabel): string => `${source}:${key}=${value}`
