import { join } from 'node:path'
import { installAgent } from '../agent/index.ts'
import { assertState, restoreCluster, saveControlPlane, startCluster, type StartedCluster } from '../cluster/index.ts'
import type { Context } from '../core/context.ts'
import { explain } from '../core/errors.ts'
import { inStep } from '../core/progress.ts'
import { assertHostMemory, assertWhole, pauseMachines, restoreMachine, saveMachine, type StartedMachine } from '../machine/index.ts'
import { startWire, type StartedWire } from '../wire/index.ts'
import type { E2eOptions } from './options.ts'
import { prepare, type Prepared } from './prepare.ts'
import { probeAll, probeRestored } from './probing.ts'
import { accelOf, attached, byQemu, byVagrant, specsOf } from './providers.ts'
import { findSnapshot, saveSnapshot, snapshotKey, type Snapshot } from './snapshots.ts'
import type { Tell, Up } from './up.ts'

/**
 * Takes a kernel all the way to a cluster with its agent. The first time stage after stage, and the result is saved; later from the saved one. What
 * cannot be restored is booted, with a note. `tell` hears what is up so far.
 */
export async function bringUp(spec: string, options: E2eOptions, ctx: Context, tell: Tell): Promise<Up> {
  const prepared = await prepare(spec, options, ctx, tell)
  assertHostMemory(prepared.nodes.map(({ name }) => ({ name, memoryMiB: options.memoryMiB })))
  const key = options.snapshot && options.provider === 'qemu' ? await snapshotKey(prepared, options, ctx) : undefined
  const told: Tell = (up) => tell({ kernels: prepared.nodes.map(({ kernel }) => kernel), workloadImage: prepared.workloadImage, ...up })
  if (key === undefined) return bootCluster(prepared, options, false, ctx, told)
  const snapshot = await savedCluster(prepared, options, key, ctx, told)
  try {
    return await restoreSaved(prepared, options, snapshot, ctx, told)
  } catch (error) {
    if (ctx.signal.aborted) throw error
    ctx.progress.note(`the snapshot could not be restored, so the machines boot: ${explain(error)}`)
    snapshot.discard()
    return bootCluster(prepared, options, false, ctx, told)
  }
}

/** An attempt's context: what it starts can be ended without ending the run. */
export const within = (ctx: Context, name: string): Context => ({ ...ctx, registry: ctx.registry.child(name) })

/** A cluster of ours. */
type Booted = Up & { readonly wire: StartedWire; readonly cluster: StartedCluster }

/** Machines, cluster and agent from nothing. `savable`: their disks' writes go where saveSnapshot finds them. */
export async function bootCluster(prepared: Prepared, options: E2eOptions, savable: boolean, ctx: Context, tell: Tell): Promise<Booted> {
  const { machines, wire: connecting } = await (options.provider === 'vagrant' ? byVagrant : byQemu)(prepared, options, savable, ctx, tell)
  const probing = probeAll(machines, prepared, ctx)
  const cluster = await startCluster({ kubernetes: prepared.kubernetes, machines, agentEtcd: prepared.agentEtcd }, ctx)
  const [wire, started] = [await connecting, await Promise.all(machines)]
  tell({ wire, machines: started, cluster })
  const agent = await installAgent(prepared.driver, options.agent, cluster, ctx, prepared.agentOptions, (begun) => tell({ wire, machines: started, cluster, agent: begun }))
  tell({ wire, machines: started, cluster, agent })
  // Without an agent that runs there is no network, and nodes are never Ready.
  if (!agent.settled) await cluster.waitNodesReady()
  return upOf(prepared, { machines: started, wire, cluster, agent, features: await probing })
}

/** The snapshot under a key. Where there is none the cluster is booted, saved, and ended: the run goes on from the snapshot, as every later one does. */
export async function savedCluster(prepared: Prepared, options: E2eOptions, key: string, ctx: Context, tell: Tell): Promise<Snapshot> {
  const found = findSnapshot(key, ctx)
  if (found) return found
  const attempt = within(ctx, 'the cluster that is saved')
  const { machines, cluster, agent, features } = await bootCluster(prepared, options, true, attempt, tell)
  const snapshot = await saveSnapshot(key, { agent, features }, ctx, (dir) => inStep(ctx.progress, 'save a snapshot', async (step) => {
    step.update('machines')
    await pauseMachines(machines, attempt)
    await Promise.all(machines.map((machine) => saveMachine(machine, dir(machine.name), attempt)))
    step.update('control plane')
    await saveControlPlane(cluster, dir('cluster'), attempt)
  }))
  tell({})
  await attempt.registry.releaseAll()
  return snapshot
}

/** The cluster of a snapshot, running. Throws when it can't be; nothing of it is left then. */
export async function restoreSaved(prepared: Prepared, options: E2eOptions, snapshot: Snapshot, ctx: Context, tell: Tell): Promise<Up> {
  for (const { name } of prepared.nodes) assertWhole(join(snapshot.dir, name))
  assertState(join(snapshot.dir, 'cluster'))
  const attempt = within(ctx, 'the restored cluster')
  try {
    return await inStep(ctx.progress, 'restore the cluster', async () => {
      const wire = await startWire(attempt)
      const started: StartedMachine[] = []
      tell({ wire, machines: started })
      const cluster = await restoreCluster({
        kubernetes: prepared.kubernetes,
        agentEtcd: prepared.agentEtcd,
        saved: join(snapshot.dir, 'cluster'),
        machines: (within) => specsOf(prepared, options, false, within).map((spec) => attached(wire, spec, started, restoreMachine(spec, accelOf(prepared, spec), join(snapshot.dir, spec.name), within), tell)),
      }, attempt)
      const features = await probeRestored(started, snapshot.features, prepared, attempt)
      return upOf(prepared, { machines: started, wire, cluster, agent: snapshot.agent, features })
    })
  } catch (error) {
    tell({})
    await attempt.registry.releaseAll()
    throw error
  }
}

const upOf = ({ nodes, workloadImage }: Prepared, rest: Omit<Booted, 'kernels' | 'workloadImage'>): Booted => ({ kernels: nodes.map(({ kernel }) => kernel), workloadImage, ...rest })
