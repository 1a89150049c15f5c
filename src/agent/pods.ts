import type { V1Pod } from '@kubernetes/client-node'
import { kubeClient, kubectl, type ClusterHandle } from '../cluster/index.ts'
import type { AgentHandle } from './types.ts'
import { describe } from './wait-ready.ts'

/** The agent's pods, those that are being deleted too. */
export const agentPods = async (cluster: ClusterHandle, agent: AgentHandle): Promise<V1Pod[]> =>
  (await kubeClient(cluster).core.listNamespacedPod({ namespace: agent.namespace, labelSelector: agent.selector })).items

/** Those of them that are not being deleted. */
export const alive = (pods: readonly V1Pod[]): V1Pod[] => pods.filter(({ metadata }) => metadata?.deletionTimestamp === undefined)

/** `kubectl logs` of the agent's container in a pod; with `previous` of the one that ended last, with `since` no older lines. Throws CommandError. */
export const podLog = async (cluster: ClusterHandle, agent: AgentHandle, pod: string, { previous = false, since }: { readonly previous?: boolean; readonly since?: Date } = {}): Promise<string> =>
  (await kubectl(cluster, ['-n', agent.namespace, 'logs', pod, '-c', agent.container, ...(previous ? ['--previous'] : []), ...(since ? [`--since-time=${since.toISOString()}`] : [])], { timeoutMs: 30_000 })).stdout

/** `node1: running, not ready; node2: no pod yet`: what the agent does on these nodes, in one line. */
export const statesOf = (nodes: readonly string[], pods: readonly V1Pod[], agent: AgentHandle): string =>
  nodes.map((name) => ({ name, pod: pods.find(({ spec }) => spec?.nodeName === name) })).map(({ name, pod }) => `${name}: ${pod ? describe(pod, agent) : 'no pod yet'}`).join('; ')
