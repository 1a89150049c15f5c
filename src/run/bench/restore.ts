import type { Context } from '../../core/context.ts'
import { KernelbedError } from '../../core/errors.ts'
import { bootCluster, restoreSaved, savedCluster, within } from '../bring-up.ts'
import type { E2eOptions } from '../options.ts'
import { prepare } from '../prepare.ts'
import { snapshotKey } from '../snapshots.ts'
import type { Comparison } from './compare.ts'

const unheard = (): void => undefined

/** A saved cluster's restore to all nodes Ready with their agents, beside its boot. Makes the snapshot first where there is none. */
export async function restoreComparison(spec: string, options: E2eOptions, ctx: Context): Promise<Comparison> {
  const prepared = await prepare(spec, options, ctx, unheard)
  const key = await snapshotKey(prepared, options, ctx)
  if (key === undefined) throw new KernelbedError(`a cluster with ${options.agent} on ${spec} is never saved`, { blame: 'host', hint: 'take a kernel on which the agent works' })
  const snapshot = await savedCluster(prepared, options, key, ctx, unheard)
  const timed = async (name: string, start: (attempt: Context) => Promise<unknown>): Promise<number[]> => {
    const attempt = within(ctx, name)
    try {
      const from = performance.now()
      await start(attempt)
      return [(performance.now() - from) / 1000]
    } finally {
      await attempt.registry.releaseAll()
    }
  }
  const { kernel, accel } = prepared.nodes[0]!
  return {
    metrics: [{ name: `from nothing to ${prepared.nodes.length} nodes Ready with the agent on ${kernel.release} (${accel})`, unit: 's', better: 'less', digits: 1 }],
    sides: [
      { name: 'restore', measure: () => timed('restored cluster', (attempt) => restoreSaved(prepared, options, snapshot, attempt, unheard)) },
      { name: 'cold start', measure: () => timed('booted cluster', (attempt) => bootCluster(prepared, options, false, attempt, unheard)) },
    ],
  }
}
