import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { attachAgent, type AgentHandle } from '../agent/index.ts'
import { collectCluster, collectNamespaces, type ClusterHandle } from '../cluster/index.ts'
import type { Context } from '../core/context.ts'
import { explain } from '../core/errors.ts'
import { collectMachine, type MachineHandle } from '../machine/index.ts'

/** As much of a run as there was when it failed. */
export interface Evidence {
  readonly machines?: readonly { readonly handle: MachineHandle }[]
  readonly cluster?: { readonly handle: ClusterHandle }
  readonly agent?: { readonly handle: AgentHandle }
}

/**
 * Gathers what explains a failure into `<run>/evidence`, whatever phase failed: each machine's console, dmesg and logs, Kubernetes objects,
 * events and container logs (current and previous), the agent's state dumps. Each part is tried; what could not be had is said in
 * `evidence/missing.txt`. Consoles, monitor events, pcaps,
 * logs of the host's programs and `commands.log` are in the run folder already.
 */
export async function collectEvidence(up: Evidence, ctx: Context): Promise<void> {
  const dir = join(ctx.dir, 'evidence')
  mkdirSync(dir, { recursive: true })
  const missing: string[] = []
  const attempt = async (name: string, body: () => Promise<unknown>): Promise<void> => {
    await body().catch((error: unknown) => missing.push(`${name}: ${explain(error)}`))
  }
  const step = ctx.progress.step('evidence')
  const { cluster, agent } = up
  await Promise.all([
    ...(up.machines ?? []).map(({ handle }) => attempt(handle.name, () => collectMachine(handle, join(dir, handle.name)))),
    ...(cluster ? [attempt('cluster', () => (cluster.handle.foreign ? collectNamespaces(cluster.handle, cluster.handle.foreign, agent ? [agent.handle.namespace] : [], join(dir, 'cluster')) : collectCluster(cluster.handle, join(dir, 'cluster'))))] : []),
    ...(cluster && agent ? [attempt('agent', async () => (await attachAgent(cluster.handle, agent.handle)).collect(join(dir, 'agent')))] : []),
  ])
  if (missing.length) writeFileSync(join(dir, 'missing.txt'), `${missing.join('\n')}\n`)
  step.done(dir)
}
