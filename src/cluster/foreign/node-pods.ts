import { ApiException, type V1Pod } from '@kubernetes/client-node'
import type { Context } from '../../core/context.ts'
import { KernelbedError } from '../../core/errors.ts'
import { waitFor } from '../../core/wait.ts'
import type { KubeClient } from '../client.ts'
import { imageProblem } from '../image-problem.ts'
import { namespaceTakesPods } from '../namespace.ts'
import type { ContainerRef } from '../types.ts'
import { apiMessage } from './connect.ts'

const container = 'node'

/** A pod on a node's own network, all-powerful in a container of its own: it sends the node's packets and tries its kernel. */
const nodePod = (node: string, image: string): V1Pod => ({
  metadata: { name: `node-${node}`.slice(0, 253) },
  spec: {
    nodeName: node, hostNetwork: true, dnsPolicy: 'Default', automountServiceAccountToken: false, enableServiceLinks: false, terminationGracePeriodSeconds: 0, restartPolicy: 'Never', tolerations: [{ operator: 'Exists' }],
    containers: [{ name: container, image, imagePullPolicy: 'IfNotPresent', command: ['/bin/sleep', '1000000000'], securityContext: { privileged: true } }],
  },
})

export interface NodePods {
  readonly byNode: ReadonlyMap<string, ContainerRef>
  /** Why there are none. */
  readonly refused?: string
}

/**
 * Starts a pod on each node, and waits until they run. A cluster whose admission refuses them gives none, with its words. Throws KernelbedError when the
 * image cannot be had (`imageHint` says how it could), or they don't start within 4 minutes.
 */
export async function startNodePods(kube: KubeClient, namespace: string, nodes: readonly string[], image: string, imageHint: () => Promise<string>, ctx: Context): Promise<NodePods> {
  await namespaceTakesPods(kube, namespace, ctx.signal)
  try {
    for (const node of nodes) await kube.core.createNamespacedPod({ namespace, body: nodePod(node, image) })
  } catch (error) {
    if (error instanceof ApiException && error.code === 403) return { byNode: new Map(), refused: apiMessage(error) }
    throw new KernelbedError(`cannot make a pod in ${namespace}: ${apiMessage(error)}`, { blame: 'cluster' })
  }
  await waitFor({ name: `a pod of ours to run on ${nodes.join(', ')}`, timeoutMs: 240_000, intervalMs: 500, signal: ctx.signal, blame: 'cluster', hint: `kubectl -n ${namespace} describe pods says more` }, async () => {
    const { items } = await kube.core.listNamespacedPod({ namespace })
    for (const pod of items) {
      const problem = imageProblem(pod)
      if (problem !== undefined) throw new KernelbedError(`the workload image ${image} cannot be had on ${pod.spec?.nodeName}`, { blame: 'cluster', details: problem, hint: await imageHint() })
    }
    const waiting = items.filter(({ status }) => status?.phase !== 'Running')
    return items.length === nodes.length && waiting.length === 0 ? { done: undefined } : { seen: waiting.map(({ spec, status }) => `${spec?.nodeName}: ${status?.containerStatuses?.[0]?.state?.waiting?.reason ?? status?.phase}`).join(', ') }
  })
  return { byNode: new Map(nodes.map((node) => [node, { namespace, pod: nodePod(node, image).metadata!.name!, container }])) }
}
