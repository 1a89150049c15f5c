/** The parts of Kubernetes objects lash reads. Objects come from the API server, which has validated them. */
export interface ObjectMeta {
  name: string; namespace?: string; uid?: string; resourceVersion?: string; labels?: Record<string, string>; annotations?: Record<string, string>
  generation?: number; creationTimestamp?: string; deletionTimestamp?: string; ownerReferences?: OwnerReference[]
}
export interface OwnerReference { apiVersion: string; kind: string; name: string; uid: string }
export interface KubeObject { apiVersion?: string; kind?: string; metadata: ObjectMeta }
export interface KubeList<T> { metadata: { resourceVersion?: string; continue?: string }; items: T[] | null }

export interface Node extends KubeObject { spec: { podCIDR?: string }; status?: { addresses?: { type: string; address: string }[] } }
export type Namespace = KubeObject
export interface ContainerPort { name?: string; containerPort: number; protocol?: string }
export interface Pod extends KubeObject {
  spec: { nodeName?: string; hostNetwork?: boolean; containers: { ports?: ContainerPort[] }[] }
  status?: { phase?: string; podIP?: string }
}
export interface ServicePort { name?: string; port: number; nodePort?: number; protocol?: string }
export interface Service extends KubeObject {
  spec: {
    clusterIP?: string; /** Of both families, the first is clusterIP; since 1.20. */ clusterIPs?: string[]; type?: string; externalIPs?: string[]; selector?: Record<string, string>; ports?: ServicePort[]
    sessionAffinity?: string; sessionAffinityConfig?: { clientIP?: { timeoutSeconds?: number } }
  }
}
export interface Endpoints extends KubeObject { subsets?: { addresses?: { ip: string }[]; ports?: { name?: string; port: number; protocol?: string }[] }[] }

/** Of discovery.k8s.io, v1 and v1beta1: addresses of one family behind a service, which a label names. */
export interface EndpointSlice extends KubeObject {
  addressType: string; endpoints?: { addresses: string[]; conditions?: { ready?: boolean } }[] | null; ports?: { name?: string; port?: number; protocol?: string }[] | null
}

export interface LabelSelector {
  matchLabels?: Record<string, string>
  matchExpressions?: { key: string; operator: string; values?: string[] }[]
}
export interface NetworkPolicyPeer { podSelector?: LabelSelector; namespaceSelector?: LabelSelector; ipBlock?: { cidr: string; except?: string[] } }
export interface NetworkPolicyPort { port?: number | string; endPort?: number; protocol?: string }
export interface NetworkPolicy extends KubeObject {
  spec: {
    podSelector: LabelSelector; policyTypes?: string[]
    ingress?: { from?: NetworkPolicyPeer[]; ports?: NetworkPolicyPort[] }[]
    egress?: { to?: NetworkPolicyPeer[]; ports?: NetworkPolicyPort[] }[]
  }
}
/** Contents are checked when it is translated: the CRD's schema lets anything through. */
export interface CiliumNetworkPolicy extends KubeObject { spec?: unknown; specs?: unknown[]; status?: { nodes?: Record<string, CiliumPolicyNodeStatus> } }
export interface CiliumPolicyNodeStatus { ok: boolean; error?: string | null; enforcing: boolean; localPolicyRevision: number; lastUpdated?: string }

export interface CiliumIdentity extends KubeObject { 'security-labels'?: Record<string, string> }
export interface CiliumEndpoint extends KubeObject {
  status?: {
    id: number; state: string
    identity?: { id: number; labels: string[] }
    networking?: { addressing: { ipv4: string; ipv6?: string }[]; node: string }
    'named-ports'?: { name: string; port: number; protocol: string }[]
    policy?: { ingress: { enforcing: boolean }; egress: { enforcing: boolean } }
  }
}
