import type { V1Pod } from '@kubernetes/client-node'
import { Collector, PodShell, kubeClient, streamInPod, type ClusterHandle, type ContainerRef } from '../cluster/index.ts'
import { KernelbedError } from '../core/errors.ts'
import { waitFor } from '../core/wait.ts'
import type { ExecOptions, ExecResult, GuestStream } from '../machine/types.ts'
import { fatalLines } from './handle.ts'
import { agentPods, alive, podLog } from './pods.ts'
import type { AgentHandle } from './types.ts'
import { isReady } from './wait-ready.ts'

/** The agent's pod of a node. */
export interface AgentPod { readonly node: string; readonly name: string; readonly uid: string; readonly restarts: number; readonly ready: boolean }

/** An installed agent, reached from its handle alone. Nodes are given by name. */
export interface Agent {
  readonly handle: AgentHandle
  pods(): Promise<readonly AgentPod[]>
  /** Runs its command line on a node: `exec('node1', ['status', '--brief'])`. */
  exec(node: string, args: readonly string[], options?: ExecOptions): Promise<ExecResult>
  /** Runs another of its programs on a node: `program('node1', ['cilium-health', 'status'])`. */
  program(node: string, argv: readonly string[], options?: ExecOptions): Promise<ExecResult>
  /** Starts its monitor on a node, with these arguments of its command line or those of the handle; stopping the stream ends it there too. Throws for an agent that has none. */
  monitor(node: string, args?: readonly string[]): Promise<GuestStream>
  /** Its log on a node; with `previous` that of the container before the last restart. */
  logs(node: string, options?: { readonly previous?: boolean; readonly since?: Date }): Promise<string>
  /** Log lines, by node, that mean the agent is broken; with `since` no older ones. */
  fatal(since?: Date): Promise<readonly { readonly node: string; readonly line: string }[]>
  /** Deletes its pod on a node and waits until the next one is ready. */
  restart(node: string): Promise<void>
  /** Writes what it knows, by node, into a folder. Never throws; `missing.txt` names what could not be had. */
  collect(outDir: string): Promise<void>
  /** Closes this process's connections to it. */
  close(): Promise<void>
}

/** Attaches to an agent; the cluster need not have been started by this process. */
export async function attachAgent(cluster: ClusterHandle, handle: AgentHandle): Promise<Agent> {
  const { core } = kubeClient(cluster)
  const known = new Map<string, AgentPod>()
  const pods = async (): Promise<readonly AgentPod[]> => {
    const found = alive(await agentPods(cluster, handle)).map((pod) => podOf(pod, handle))
    known.clear()
    for (const pod of found) known.set(pod.node, pod)
    return found
  }
  const containerOn = async (node: string): Promise<ContainerRef> => {
    if (!known.has(node)) await pods()
    const pod = known.get(node)
    if (!pod) throw new KernelbedError(`${handle.driver} has no pod on ${node}`, { blame: 'agent', hint: `it runs on: ${[...known.keys()].join(', ') || 'no node'}` })
    return { namespace: handle.namespace, pod: pod.name, container: handle.container }
  }
  const shells = new Map<string, PodShell>()
  const program = async (node: string, argv: readonly string[], options?: ExecOptions): Promise<ExecResult> => {
    const where = await containerOn(node)
    const shell = shells.get(where.pod) ?? new PodShell(cluster, where)
    shells.set(where.pod, shell)
    return shell.run(argv, options)
  }
  const logs = async (node: string, options?: { readonly previous?: boolean; readonly since?: Date }): Promise<string> => podLog(cluster, handle, (await containerOn(node)).pod, options)
  const attached: Agent = {
    handle, pods, program, logs,
    exec: (node, args, options) => program(node, [...handle.cli, ...args], options),
    monitor: async (node, args) => {
      if (!handle.monitor) throw new KernelbedError(`${handle.driver} has no monitor`, { blame: 'test', hint: "a test that uses it needs('agent:monitor')" })
      return streamInPod(cluster, await containerOn(node), [...handle.cli, ...(args ?? handle.monitor.args)])
    },
    fatal: async (since) => (await Promise.all((await pods()).map(async ({ node }) => fatalLines(await logs(node, since ? { since } : {}), handle).map((line) => ({ node, line }))))).flat(),
    restart: async (node) => {
      const { pod } = await containerOn(node)
      await core.deleteNamespacedPod({ name: pod, namespace: handle.namespace })
      await waitFor({ name: `${handle.driver} to be ready again on ${node}`, timeoutMs: 120_000 * (handle.patience ?? 1), intervalMs: 300, blame: 'agent' }, async () => {
        const next = (await pods()).find((candidate) => candidate.node === node && candidate.name !== pod)
        return next?.ready ? { done: undefined } : { seen: next ? `${next.name} is not ready` : 'no new pod yet' }
      })
    },
    collect: (outDir) => collectAgent(attached, outDir).finally(() => attached.close()),
    close: async () => {
      await Promise.all([...shells.values()].map((shell) => shell.close()))
      shells.clear()
    },
  }
  return attached
}

function podOf(pod: V1Pod, handle: AgentHandle): AgentPod {
  const status = pod.status?.containerStatuses?.find(({ name }) => name === handle.container)
  return { node: pod.spec?.nodeName ?? '', name: pod.metadata?.name ?? '', uid: pod.metadata?.uid ?? '', restarts: status?.restartCount ?? 0, ready: isReady(pod) }
}

async function collectAgent(agent: Agent, outDir: string): Promise<void> {
  const collector = new Collector(outDir)
  let pods: readonly AgentPod[] = []
  await collector.part('pods.json', async () => JSON.stringify(pods = await agent.pods(), undefined, 1))
  await Promise.all(pods.map(({ node, restarts }) => Promise.all([
    collector.part(`${node}/log.txt`, () => agent.logs(node)),
    ...(restarts > 0 ? [collector.part(`${node}/log.previous.txt`, () => agent.logs(node, { previous: true }))] : []),
    collectDumps(agent, node, collector),
  ])))
  collector.finish()
}

/** Time for all dumps of a node: on a busy host each one takes seconds, and a failed run should still end. */
const dumpsMs = 60_000

/** One after the other: an emulated node would not get through them faster together, and suites may be running. */
async function collectDumps(agent: Agent, node: string, collector: Collector): Promise<void> {
  const start = performance.now()
  for (const args of agent.handle.dumps) {
    await collector.part(`${node}/${args.join('-').replace(/--+/g, '-')}.txt`, async () => {
      if (performance.now() - start > dumpsMs) throw new Error(`left out: the dumps before it took ${dumpsMs / 1000} s`)
      const { stdout, stderr, exitCode } = await agent.exec(node, args, { allowFailure: true, timeoutMs: 20_000 })
      return `${stdout}${stderr}${exitCode === 0 ? '' : `exit code ${exitCode}\n`}`
    })
  }
}
