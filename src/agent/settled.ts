import type { V1Pod } from '@kubernetes/client-node'
import type { ClusterHandle } from '../cluster/index.ts'
import { waitFor } from '../core/wait.ts'
import { agentPods, alive as aliveOf, statesOf } from './pods.ts'
import type { AgentHandle } from './types.ts'
import { agentEvidence, describe, isReady, statusOf } from './wait-ready.ts'

/** What an agent's pod came to on a node. */
export interface Settled {
  readonly node: string
  readonly pod: string
  /** It is ready: it runs on this kernel. Else it keeps ending. */
  readonly ready: boolean
  /** How its container last ended. */
  readonly exitCode?: number
  /** One line: `CrashLoopBackOff: …, restarted 1 time, before that it ended with exit code 1 (Error)`. */
  readonly state: string
}

export interface SettleOptions {
  /** That it has ended once is enough; else it must be in CrashLoopBackOff, which is after its second end. */
  readonly once?: boolean
  readonly signal?: AbortSignal
  readonly update?: (detail: string) => void
  /** Throws when waiting has become useless. */
  readonly alive?: () => void
}

/**
 * Waits until it is plain, on every node, what becomes of the agent: ready, or in CrashLoopBackOff (seen at some moment: between two it is started again).
 * Throws KernelbedError blaming the agent when it does neither.
 */
export async function waitSettled(cluster: ClusterHandle, agent: AgentHandle, { once = false, signal, update, alive }: SettleOptions = {}): Promise<Settled[]> {
  const settled = new Map<string, Settled>()
  const wait = {
    name: `${agent.driver} to be ready or to ${once ? 'end' : 'keep ending'}, on every node`, timeoutMs: 240_000, intervalMs: 300, blame: 'agent' as const,
    hint: 'it runs without getting ready: its log above, or evidence/agent in the run folder, says more',
    evidence: async () => agentEvidence(cluster, agent, await agentPods(cluster, agent)), ...(signal ? { signal } : {}),
  }
  return waitFor(wait, async () => {
    alive?.()
    const pods = aliveOf(await agentPods(cluster, agent))
    for (const found of pods.flatMap((pod) => judge(pod, agent, once))) settled.set(found.node, found)
    const open = cluster.nodes.map(({ name }) => name).filter((name) => !settled.has(name))
    if (open.length === 0) return { done: cluster.nodes.map(({ name }) => settled.get(name)!) }
    const seen = statesOf(open, pods, agent)
    update?.(seen)
    return { seen }
  })
}

/** Nothing while it is not plain yet. */
export function judge(pod: V1Pod, agent: AgentHandle, once = false): Settled[] {
  const status = statusOf(pod, agent)
  const ready = isReady(pod)
  const looping = status?.state?.waiting?.reason === 'CrashLoopBackOff'
  const end = status?.state?.terminated ?? status?.lastState?.terminated
  if (!ready && !(once ? end : looping)) return []
  const exitCode = end?.exitCode
  return [{ node: pod.spec?.nodeName ?? '', pod: pod.metadata?.name ?? '', ready, state: describe(pod, agent), ...(exitCode === undefined ? {} : { exitCode }) }]
}
