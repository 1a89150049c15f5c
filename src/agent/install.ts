import { execInPod, kubectl, type StartedCluster } from '../cluster/index.ts'
import { CommandError } from '../core/command.ts'
import type { Context } from '../core/context.ts'
import { KernelbedError } from '../core/errors.ts'
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
 * Applies an agent's manifests and waits until it is ready on every node, or has settled where it must refuse. `spec` is what `--agent` said; `begun` hears how it is reached before
 * anything is applied, for the evidence of an installation that fails. Throws KernelbedError blaming the agent, with its logs.
 */
export const installAgent = (driver: AgentDriver, spec: string, cluster: StartedCluster, ctx: Context, options: AgentOptions, begun: (agent: StartedAgent) => void = () => undefined): Promise<StartedAgent> =>
  inStep(ctx.progress, options.refuses ? `${driver.name}: refuses` : driver.name, async (step) => {
    const update = (detail: string): void => step.update(detail)
    update('manifests')
    const plan = await driver.plan(cluster.handle, ctx, options)
    const handle = { ...plan.handle, driver: spec }
    begun({ handle })
    for (const note of plan.notes ?? []) ctx.progress.note(`${driver.name}: ${note}`)
    await apply(driver.name, plan.manifests, cluster, ctx)
    if (options.refuses) return { handle, settled: await waitSettled(cluster.handle, handle, { once: true, signal: ctx.signal, update, alive: () => cluster.assertAlive() }) }
    await waitAgentReady(cluster, handle, ctx, update)
    if (!plan.refine) return { handle }
    const [pod] = await agentPods(cluster.handle, handle)
    const where = { namespace: handle.namespace, pod: pod?.metadata?.name ?? '', container: handle.container }
    return { handle: { ...(await plan.refine(async (args) => (await execInPod(cluster.handle, where, [...handle.cli, ...args], { timeoutMs: 60_000 })).stdout)), driver: spec } }
  })

/** kubectl goes on after an object that is refused: its words on that come first, then what was made. */
async function apply(name: string, manifests: string, { handle }: StartedCluster, ctx: Context): Promise<void> {
  await kubectl(handle, ['apply', '-f', '-'], { input: manifests, signal: ctx.signal, blame: 'agent', timeoutMs: 120_000 }).catch((error: unknown) => {
    if (!(error instanceof CommandError) || error.result.exitCode !== 1) throw error
    const foreign = /unknown field/.test(error.details ?? '') ? ', or render it for this Kubernetes (helm template --kube-version …)' : ''
    throw new KernelbedError(`the manifests of ${name} could not be applied whole`, { blame: 'agent', ...(error.details === undefined ? {} : { details: error.details }), hint: `correct what was refused${foreign}; what was made goes with the cluster` })
  })
}
