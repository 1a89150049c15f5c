import { Informer } from '../k8s/informer.ts'
import type { CiliumEndpoint, CiliumIdentity, CiliumNetworkPolicy, Endpoints, EndpointSlice, Namespace, NetworkPolicy, Node, Pod, Service } from '../k8s/types.ts'

/** Local copies of everything the agent follows in the cluster; pods are those of this node only. */
export interface Stores {
  nodes: Informer<Node>; namespaces: Informer<Namespace>; pods: Informer<Pod>; services: Informer<Service>; endpoints: Informer<Endpoints>; slices: Informer<EndpointSlice>
  networkPolicies: Informer<NetworkPolicy>; ciliumPolicies: Informer<CiliumNetworkPolicy>
  /** Absent where identities are kept elsewhere. */
  identities?: Informer<CiliumIdentity>
  ciliumEndpoints: Informer<CiliumEndpoint>
}

export function createStores(nodeName: string, { identities }: { identities: boolean }): Stores {
  return {
    nodes: new Informer({ path: '/api/v1/nodes' }),
    namespaces: new Informer({ path: '/api/v1/namespaces' }),
    pods: new Informer({ path: '/api/v1/pods', fieldSelector: `spec.nodeName=${nodeName}` }),
    services: new Informer({ path: '/api/v1/services' }),
    endpoints: new Informer({ path: '/api/v1/endpoints' }),
    slices: new Informer({ path: '/apis/discovery.k8s.io/v1/endpointslices', older: '/apis/discovery.k8s.io/v1beta1/endpointslices' }),
    networkPolicies: new Informer({ path: '/apis/networking.k8s.io/v1/networkpolicies' }),
    ciliumPolicies: new Informer({ path: '/apis/cilium.io/v2/ciliumnetworkpolicies' }),
    ...(identities ? { identities: new Informer<CiliumIdentity>({ path: '/apis/cilium.io/v2/ciliumidentities' }) } : {}),
    ciliumEndpoints: new Informer({ path: '/apis/cilium.io/v2/ciliumendpoints' }),
  }
}

export const allStores = (stores: Stores): Informer<never>[] => Object.values(stores) as Informer<never>[]
