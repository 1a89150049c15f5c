import { Informer } from '../k8s/informer.ts'
import type { CiliumEndpoint, CiliumIdentity, CiliumNetworkPolicy, Endpoints, Namespace, NetworkPolicy, Node, Pod, Service } from '../k8s/types.ts'

/** Local copies of everything the agent follows in the cluster; pods are those of this node only. */
export interface Stores {
  nodes: Informer<Node>; namespaces: Informer<Namespace>; pods: Informer<Pod>; services: Informer<Service>; endpoints: Informer<Endpoints>
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
    networkPolicies: new Informer({ path: '/apis/networking.k8s.io/v1/networkpolicies' }),
    ciliumPolicies: new Informer({ path: '/apis/cilium.io/v2/ciliumnetworkpolicies' }),
    ...(identities ? { identities: new Informer<CiliumIdentity>({ path: '/apis/cilium.io/v2/ciliumidentities' }) } : {}),
    ciliumEndpoints: new Informer({ path: '/apis/cilium.io/v2/ciliumendpoints' }),
  }
}

export const allStores = (stores: Stores): Informer<never>[] => Object.values(stores) as Informer<never>[]
