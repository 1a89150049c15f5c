import { execInPod, PodCommandError, type ClusterHandle } from '../cluster/index.ts'
import type { Context } from '../core/context.ts'
import { KernelbedError, usageError } from '../core/errors.ts'
import { inStep } from '../core/progress.ts'
import { waitFor } from '../core/wait.ts'
import type { AgentDriver, AgentOptions } from './driver.ts'
import type { AgentHandle } from './handle.ts'
import type { StartedAgent } from './install.ts'
import { agentPods, alive, statesOf } from './pods.ts'
import { waitSettled } from './settled.ts'
import { agentEvidence, isReady } from './wait-ready.ts'

/** Where the driver says that its agent is found, and how it is asked. Throws a usage error for a driver that does not say. */
export function foundBy(driver: AgentDriver, options: AgentOptions): ReturnType<NonNullable<AgentDriver['find']>> {
  if (!driver.find) throw usageError(`the driver ${driver.name} does not say how an agent is found that somebody else installed`, 'give it a `find` (docs/existing-clusters.md)')
  return driver.find(options)
}

/**
 * Finds an agent that somebody else installed, by its driver: it must be ready on every node of the handle, or have settled where it must refuse. `namespace` instead of the
 * driver's. Throws KernelbedError blaming the agent.
 */
export const findAgent = (driver: AgentDriver, spec: string, cluster: ClusterHandle, ctx: Context, options: AgentOptions, namespace?: string): Promise<StartedAgent> =>
  inStep(ctx.progress, `${driver.name}: find`, async () => {
    const found = foundBy(driver, options)
    const as = (each: Omit<AgentHandle, 'driver'>): AgentHandle => ({ ...each, driver: spec, ...(namespace === undefined ? {} : { namespace }) })
    const handle = as(found.handle)
    const nodes = cluster.nodes.map(({ name }) => name)
    if (alive(await agentPods(cluster, handle)).length === 0) throw new KernelbedError(`no pod of ${driver.name} in namespace ${handle.namespace} (label ${handle.selector})`, { blame: 'agent', hint: 'name the namespace with --agent-namespace, another driver with --agent, or write one whose `find` knows the label' })
    if (options.refuses) return { handle, settled: await waitSettled(cluster, handle, { once: true, signal: ctx.signal }) }
    const evidence = async (): Promise<string> => agentEvidence(cluster, handle, alive(await agentPods(cluster, handle)))
    await waitFor({ name: `${driver.name} to be ready on ${nodes.join(', ')}`, timeoutMs: 60_000, intervalMs: 1000, signal: ctx.signal, blame: 'agent', evidence }, async () => {
      const pods = alive(await agentPods(cluster, handle))
      const waiting = nodes.filter((node) => !pods.some((pod) => pod.spec?.nodeName === node && isReady(pod)))
      return waiting.length ? { seen: statesOf(waiting, pods, handle) } : { done: undefined }
    })
    if (!found.ask) return { handle }
    const pod = alive(await agentPods(cluster, handle)).find(({ spec: pod }) => pod?.nodeName === nodes[0])
    const container = { namespace: handle.namespace, pod: pod?.metadata?.name ?? '', container: handle.container }
    return { handle: as(await found.ask(async (argv) => {
      const { exitCode, stdout } = await execInPod(cluster, container, argv, { timeoutMs: 60_000, allowFailure: true }).catch((error: unknown) => (error instanceof PodCommandError ? error.result : Promise.reject(error as Error)))
      return exitCode === 0 ? stdout : undefined
    })) }
  })
