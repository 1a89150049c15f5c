import { isStatus, type KubeClient } from '../k8s/client.ts'
import { keyOf, type Informer } from '../k8s/informer.ts'
import type { CiliumEndpoint } from '../k8s/types.ts'
import { podKey, type Endpoint } from './endpoint.ts'

const pathOf = (namespace: string, name?: string): string => `/apis/cilium.io/v2/namespaces/${namespace}/ciliumendpoints${name === undefined ? '' : `/${name}`}`

/** The CiliumEndpoint that tells the cluster about an endpoint. Its pod owns it, so it goes with the pod even when this node is lost. */
export function toCiliumEndpoint({ record, state, policy }: Endpoint, nodeIPv4: string): CiliumEndpoint {
  const { pod, id, identity, labels, ipv4, ipv6 } = record
  return {
    apiVersion: 'cilium.io/v2', kind: 'CiliumEndpoint',
    metadata: {
      name: pod.name, namespace: pod.namespace,
      ...(pod.uid === undefined ? {} : { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: pod.name, uid: pod.uid }] }),
    },
    status: {
      id, state, identity: { id: identity, labels: [...labels] }, networking: { addressing: [{ ipv4, ...(ipv6 === undefined ? {} : { ipv6 }) }], node: nodeIPv4 },
      'named-ports': Object.entries(record.namedPorts).map(([key, port]) => ({ name: key.split('/')[0]!, port, protocol: key.split('/')[1]! })).sort((a, b) => (a.name < b.name ? -1 : 1)),
      policy: { ingress: { enforcing: policy.ingress !== undefined }, egress: { enforcing: policy.egress !== undefined } },
    },
  }
}

/** Writes this node's CiliumEndpoints until they are what the endpoints are, and deletes those of endpoints that are gone. */
export async function publishEndpoints(input: { client: KubeClient; published: Informer<CiliumEndpoint>; endpoints: Endpoint[]; nodeIPv4: string }): Promise<void> {
  const { client, published, endpoints, nodeIPv4 } = input
  // A pod has several endpoints for a moment when its sandbox is made anew: the youngest counts.
  const wanted = new Map(endpoints.filter(({ state, policyRevision }) => state === 'ready' || (state === 'not-ready' && policyRevision > 0)).map((endpoint) => [podKey(endpoint.record), toCiliumEndpoint(endpoint, nodeIPv4)]))
  for (const object of published.list()) {
    if (object.status?.networking?.node === nodeIPv4 && !wanted.has(keyOf(object)) && !endpoints.some(({ record }) => podKey(record) === keyOf(object))) {
      await client.delete(pathOf(object.metadata.namespace ?? 'default', object.metadata.name))
    }
  }
  for (const [key, object] of wanted) await write(client, published.get(key), object)
}

async function write(client: KubeClient, old: CiliumEndpoint | undefined, object: CiliumEndpoint): Promise<void> {
  const { namespace = 'default', name } = object.metadata
  const path = pathOf(namespace, name)
  if (old !== undefined && ownerOf(old) === ownerOf(object)) {
    if (!sameStatus(old, object)) await client.mergePatch(path, { status: object.status }).catch((error: unknown) => recreate(error))
    return
  }
  // The owner of an earlier pod by that name would take it away again.
  if (old !== undefined) await client.delete(path)
  await client.create(pathOf(namespace), object).catch(async (error: unknown) => {
    if (!isStatus(error, 409)) throw error
    const present = await client.get<CiliumEndpoint>(path)
    if (ownerOf(present) === ownerOf(object)) await client.mergePatch(path, { status: object.status })
    else throw error
  })

  async function recreate(error: unknown): Promise<void> {
    if (!isStatus(error, 404)) throw error
    await client.create(pathOf(namespace), object)
  }
}

const ownerOf = (object: CiliumEndpoint): string | undefined => object.metadata.ownerReferences?.[0]?.uid

function sameStatus(a: CiliumEndpoint, b: CiliumEndpoint): boolean {
  return JSON.stringify(ordered(a)) === JSON.stringify(ordered(b))
}

/** The API server sorts keys. */
function ordered({ status }: CiliumEndpoint): unknown {
  return [status?.id, status?.state, status?.identity?.id, status?.identity?.labels, status?.networking?.addressing[0]?.ipv4, status?.networking?.addressing[0]?.ipv6, status?.networking?.node, (status?.['named-ports'] ?? []).map(({ name, port, protocol }) => [name, port, protocol]), status?.policy?.ingress.enforcing, status?.policy?.egress.enforcing]
}
