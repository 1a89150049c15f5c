import type { V1ContainerStatus, V1Pod } from '@kubernetes/client-node'
import { kubectl, type ClusterHandle, type StartedCluster } from '../cluster/index.ts'
import { didYouMean } from '../core/closest.ts'
import type { Context } from '../core/context.ts'
import { KernelbedError } from '../core/errors.ts'
import { waitFor } from '../core/wait.ts'
import { agentPods, statesOf } from './pods.ts'
import type { AgentHandle } from './types.ts'

/** Restarts after which waiting longer is of no use: what the agent prints when it ends says more than a deadline. Kubelet's pauses between them double from 10 s on. */
const tooManyRestarts = ({ patience = 1 }: AgentHandle): number => (patience > 1 ? 5 : 3)

/** Objects become pods within seconds, however slow what then runs in them is. */
const firstPodMs = 60_000

/** Waits until the agent's pod is Ready on every node. Throws KernelbedError blaming the agent, with container states and last log lines. */
export async function waitAgentReady(cluster: StartedCluster, agent: AgentHandle, ctx: Context, update: (detail: string) => void): Promise<void> {
  const list = (): Promise<V1Pod[]> => agentPods(cluster.handle, agent)
  const evidence = async (): Promise<string> => agentEvidence(cluster.handle, agent, await list())
  const start = performance.now()
  const hint = 'the kernel may lack what the agent needs: its log above, or evidence/agent in the run folder, says more'
  await waitFor({ name: `${agent.driver} to be ready on every node`, timeoutMs: 180_000 * (agent.patience ?? 1), intervalMs: 300, signal: ctx.signal, blame: 'agent', hint, evidence }, async () => {
    cluster.assertAlive()
    const pods = await list()
    if (pods.length === 0 && performance.now() - start > firstPodMs) throw await noPods(cluster.handle, agent)
    assertContainer(pods, agent)
    const crashing = pods.find((pod) => (statusOf(pod, agent)?.restartCount ?? 0) >= tooManyRestarts(agent))
    if (crashing) throw new KernelbedError(`${agent.driver} keeps ending on ${crashing.spec?.nodeName}: ${describe(crashing, agent)}`, { blame: 'agent', hint, details: await agentEvidence(cluster.handle, agent, [crashing]) })
    const waiting = cluster.handle.nodes.map(({ name }) => name).filter((name) => !isReady(pods.find(({ spec }) => spec?.nodeName === name)))
    if (waiting.length === 0) return { done: undefined }
    const seen = statesOf(waiting, pods, agent)
    update(seen)
    return { seen }
  })
}

async function noPods(cluster: ClusterHandle, agent: AgentHandle): Promise<KernelbedError> {
  return new KernelbedError(`${agent.driver} has no pod: none in namespace ${agent.namespace} has the label ${agent.selector}`, {
    blame: 'agent', details: await namespaceEvidence(cluster, agent.namespace), hint: 'its manifests make none, or its driver names another label or namespace (selector, namespace of the handle)',
  })
}

/** What somebody who looks for an agent's pods would look at. */
async function namespaceEvidence(cluster: ClusterHandle, namespace: string): Promise<string> {
  const run = runIn(cluster, namespace)
  const [objects, warnings] = await Promise.all([run('get', 'daemonsets,deployments,pods', '--show-labels'), run('get', 'events', '--field-selector=type=Warning', '-o', 'custom-columns=:.involvedObject.name,:.reason,:.message', '--no-headers')])
  return [objects || `nothing is in namespace ${namespace}`, titled('warnings', warnings)].filter(Boolean).join('\n')
}

/** Throws for a container that the agent's pods do not have: they would be ready, and nothing could be run in them. */
function assertContainer(pods: readonly V1Pod[], agent: AgentHandle): void {
  const names = pods[0]?.spec?.containers.map(({ name }) => name) ?? [agent.container]
  if (names.includes(agent.container)) return
  throw new KernelbedError(`the pods of ${agent.driver} have no container "${agent.container}"${didYouMean(agent.container, names)}`, { blame: 'agent', hint: `they have ${names.join(', ')}: its driver names the container that the agent runs in (container of the handle)` })
}

export const isReady = (pod: V1Pod | undefined): boolean => pod?.metadata?.deletionTimestamp === undefined && pod?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true

/** Status of the agent's own container. */
export const statusOf = (pod: V1Pod, agent: AgentHandle): V1ContainerStatus | undefined => pod.status?.containerStatuses?.find(({ name }) => name === agent.container)

/** `CrashLoopBackOff, restarted 2 times, ended with exit code 1 (Error)`: what a pod of the agent does, in one line. */
export function describe(pod: V1Pod, agent: AgentHandle): string {
  const status = statusOf(pod, agent)
  if (!status) return pod.status?.conditions?.find(({ type, status: value }) => type === 'PodScheduled' && value === 'False')?.message ?? pod.status?.phase ?? 'unknown'
  const { state, lastState, restartCount } = status
  const now = state?.waiting ? [state.waiting.reason, state.waiting.message].filter(Boolean).join(': ') : state?.terminated ? endOf(state.terminated) : status.ready ? 'ready' : 'running, not ready'
  const before = lastState?.terminated ? `, before that it ${endOf(lastState.terminated)}` : ''
  return `${now}${restartCount ? `, restarted ${restartCount} time${restartCount === 1 ? '' : 's'}` : ''}${before}`
}

const endOf = ({ exitCode, signal, reason }: { exitCode: number; signal?: number; reason?: string }): string => `ended with ${signal ? `signal ${signal}` : `exit code ${exitCode}`}${reason ? ` (${reason})` : ''}`

/** kubectl in a namespace: what it printed, nothing where it failed. */
const runIn = (cluster: ClusterHandle, namespace: string) => async (...args: string[]): Promise<string> =>
  (await kubectl(cluster, ['-n', namespace, ...args], { allowFailure: true, timeoutMs: 20_000 }).catch(() => undefined))?.stdout.trimEnd() ?? ''

/** States, events and last log lines of the agent's pods; `logs --previous` where there was a restart. Never throws. */
export async function agentEvidence(cluster: ClusterHandle, agent: AgentHandle, pods: readonly V1Pod[]): Promise<string> {
  const run = runIn(cluster, agent.namespace)
  const parts = await Promise.all(pods.map(async (pod) => {
    const name = pod.metadata?.name ?? ''
    const log = (...flags: string[]): Promise<string> => run('logs', name, '-c', agent.container, '--tail=15', ...flags)
    const restarted = (statusOf(pod, agent)?.restartCount ?? 0) > 0
    const [events, current, previous] = await Promise.all([run('get', 'events', `--field-selector=involvedObject.name=${name},type=Warning`, '-o', 'custom-columns=:.reason,:.message', '--no-headers'), log(), restarted ? log('--previous') : ''])
    return [`${pod.spec?.nodeName ?? 'not scheduled'}: ${describe(pod, agent)}`, titled('warnings', events), titled('log', current), titled('log of the one before', previous)].filter(Boolean).join('\n')
  }))
  return parts.join('\n') || 'the agent has no pods'
}

const titled = (title: string, text: string): string => (text === '' ? '' : `  ${title}:\n${text.split('\n').slice(-15).map((line) => `    ${line.slice(0, 300)}`).join('\n')}`)
