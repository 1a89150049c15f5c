import type { V1ContainerStatus, V1Pod } from '@kubernetes/client-node'
import { kubeClient, kubectl, type ClusterHandle } from '../cluster/index.ts'
import { KernelbedError } from '../core/errors.ts'
import { waitFor, type Probe } from '../core/wait.ts'
import { agentPods, alive, podLog, statesOf } from './pods.ts'
import type { Bypass } from './refusal.ts'
import type { AgentHandle } from './types.ts'
import { agentEvidence, isReady, statusOf } from './wait-ready.ts'

/** How an agent ended that was told to go on. */
export interface Ended { readonly node: string; readonly exitCode: number; readonly log: string }

/** An agent that was told to go on; `restore` installs it as it was. */
export interface Bypassed {
  /** Waits until it has ended on every node, and answers what it said. Throws KernelbedError as soon as one is ready: it lacks nothing then. */
  ended(): Promise<readonly Ended[]>
  restore(): Promise<void>
}

/** Installs the agent with its check of the kernel bypassed: its DaemonSet's container gets the arguments that the driver names. */
export async function bypassKernelCheck(cluster: ClusterHandle, agent: AgentHandle, bypass: Bypass): Promise<Bypassed> {
  const set = await daemonSetOf(cluster, agent)
  const setArgs = (args: readonly string[]): Promise<unknown> => {
    const patch = [{ op: 'add', path: `/spec/template/spec/containers/${set.container}/args`, value: args }]
    return kubectl(cluster, ['-n', agent.namespace, 'patch', 'daemonset', set.name, '--type=json', '-p', JSON.stringify(patch)], { blame: 'agent' })
  }
  await setArgs([...set.args, ...bypass.args])
  // The rollout would wait until the kubelets have taken the old pods down; these have ended already.
  await kubectl(cluster, ['-n', agent.namespace, 'delete', 'pod', '-l', agent.selector, '--force', '--grace-period=0', '--wait=false'], { blame: 'agent' })
  return {
    ended: () => waitEnded(cluster, agent, bypass),
    restore: async () => {
      await setArgs(set.args)
    },
  }
}

async function daemonSetOf(cluster: ClusterHandle, agent: AgentHandle): Promise<{ name: string; container: number; args: readonly string[] }> {
  const { apps } = kubeClient(cluster)
  const name = (await agentPods(cluster, agent)).flatMap(({ metadata }) => metadata?.ownerReferences ?? []).find(({ kind }) => kind === 'DaemonSet')?.name
  if (name === undefined) throw new KernelbedError(`${agent.driver} has no DaemonSet whose arguments could be changed`, { blame: 'agent', hint: `its pods are looked for by ${agent.selector} in ${agent.namespace}` })
  const containers = (await apps.readNamespacedDaemonSet({ name, namespace: agent.namespace })).spec?.template.spec?.containers ?? []
  const container = containers.findIndex((candidate) => candidate.name === agent.container)
  return { name, container, args: containers[container]?.args ?? [] }
}

async function waitEnded(cluster: ClusterHandle, agent: AgentHandle, { args }: Bypass): Promise<Ended[]> {
  const list = async (): Promise<V1Pod[]> => alive(await agentPods(cluster, agent))
    .filter(({ spec }) => args.every((arg) => spec?.containers.some((container) => container.name === agent.container && container.args?.includes(arg))))
  const ended = new Map<string, Ended>()
  const evidence = async (): Promise<string> => agentEvidence(cluster, agent, await list())
  return waitFor({ name: `${agent.driver} with ${args.join(' ')} to end on every node`, timeoutMs: 200_000, intervalMs: 300, blame: 'agent', evidence }, async (): Promise<Probe<Ended[]>> => {
    const pods = await list()
    const runs = pods.filter(isReady)
    if (runs.length) throw new KernelbedError(`${agent.driver} with ${args.join(' ')} runs on ${runs.map(({ spec }) => spec?.nodeName).join(', ')}: the kernel lacks nothing that it needs`, { blame: 'agent' })
    for (const pod of pods.filter(({ spec }) => !ended.has(spec?.nodeName ?? ''))) {
      const end = await endOf(cluster, agent, pod)
      if (end) ended.set(end.node, end)
    }
    const open = cluster.nodes.map(({ name }) => name).filter((name) => !ended.has(name))
    if (open.length === 0) return { done: cluster.nodes.map(({ name }) => ended.get(name)!) }
    return { seen: statesOf(open, pods, agent) }
  })
}

/** The end of a container that has ended and not been started again while its log was read; undefined until then. */
async function endOf(cluster: ClusterHandle, agent: AgentHandle, pod: V1Pod): Promise<Ended | undefined> {
  const name = pod.metadata?.name ?? ''
  const first = statusOf(pod, agent)?.state?.terminated
  const before = statusOf(pod, agent)?.lastState?.terminated
  const node = pod.spec?.nodeName ?? ''
  if (!first) return before ? { node, exitCode: before.exitCode, log: await podLog(cluster, agent, name, { previous: true }) } : undefined
  const text = await podLog(cluster, agent, name)
  const now: V1ContainerStatus | undefined = statusOf(await kubeClient(cluster).core.readNamespacedPod({ name, namespace: agent.namespace }), agent)
  return now?.state?.terminated?.containerID === first.containerID ? { node, exitCode: first.exitCode, log: text } : undefined
}
