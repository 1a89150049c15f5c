import { execInPod, kubectl, type StartedCluster } from '../cluster/index.ts'
import type { Context } from '../core/context.ts'
import { inStep } from '../core/progress.ts'
import type { AgentDriver, AgentOptions } from './driver.ts'
import type { AgentHandle } from './handle.ts'
import { agentPods } from './pods.ts'
import { waitSettled, type Settled } from './settled.ts'
import { waitAgentReady } from './wait-ready.ts'

/** An agent that is installed, and runs unless it was to refuse. */
export interface StartedAgent {
  readonly handle: AgentHandle
  /** What became of it on each node, where it was to refuse. Whether that is as it must be is for the suite to say. */
  readonly settled?: readonly Settled[]
}

/**
 * Applies an agent's manifests and waits until it is ready on every node, or has settled where it must refuse. `spec` is what `--agent` said. Throws KernelbedError
 * blaming the agent, with its logs.
 */
export const installAgent = (driver: AgentDriver, spec: string, cluster: StartedCluster, ctx: Context, options: AgentOptions): Promise<StartedAgent> =>
  inStep(ctx.progress, options.refuses ? `${driver.name}: refuses` : driver.name, async (step) => {
    const update = (detail: string): void => step.update(detail)
    update('manifests')
    const plan = await driver.plan(cluster.handle, ctx, options)
    for (const note of plan.notes ?? []) ctx.progress.note(`${driver.name}: ${note}`)
    await kubectl(cluster.handle, ['apply', '-f', '-'], { input: plan.manifests, signal: ctx.signal, blame: 'agent', timeoutMs: 120_000 })
    const handle = { ...plan.handle, driver: spec }
    if (options.refuses) return { handle, settled: await waitSettled(cluster.handle, handle, { once: true, signal: ctx.signal, update, alive: () => cluster.assertAlive() }) }
    await waitAgentReady(cluster, handle, ctx, update)
    if (!plan.refine) return { handle }
    const [pod] = await agentPods(cluster.handle, handle)
    const where = { namespace: handle.namespace, pod: pod?.metadata?.name ?? '', container: handle.container }
    return { handle: { ...(await plan.refine(async (args) => (await execInPod(cluster.handle, where, [...handle.cli, ...args], { timeoutMs: 60_000 })).stdout)), driver: spec } }
  })
