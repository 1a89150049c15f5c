import type { Context } from '../core/context.ts'
import { probeFeatures, saveFeatures, type FeatureTable } from '../probe/index.ts'
import type { StartedMachine } from '../machine/index.ts'
import type { Prepared } from './prepare.ts'

/**
 * Probes each machine as soon as it is there, beside the cluster's start, and writes `features.json` of the run: a run whose agent never starts has it too.
 * Never throws; machines that don't boot are left out, as nobody waits for them.
 */
export async function probeAll(machines: readonly Promise<StartedMachine>[], { nodes }: Prepared, ctx: Context): Promise<FeatureTable[]> {
  const settled = await Promise.allSettled(machines.map(async (starting, i) => {
    const config = nodes[i]?.kernel.config
    return probeFeatures(await starting, ctx, config === undefined ? {} : { config })
  }))
  const tables = settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  if (tables.length) saveFeatures(ctx.dir, tables)
  return tables
}

/**
 * Of restored machines: what was found before they were saved, as their kernels are the same; probed again where that could not be told, or there is no table.
 */
export async function probeRestored(machines: readonly StartedMachine[], saved: readonly FeatureTable[], prepared: Prepared, ctx: Context): Promise<readonly FeatureTable[]> {
  const known = machines.flatMap(({ name, handle }) => saved.filter(({ node }) => node === name).map((table) => ({ ...table, kernel: handle.kernel })))
  if (known.length < machines.length || known.some(isOpen)) return probeAll(machines.map((machine) => Promise.resolve(machine)), prepared, ctx)
  saveFeatures(ctx.dir, known)
  return known
}

/** A config that the kernel doesn't show stays unknown however often it is asked for. */
const isOpen = ({ features }: FeatureTable): boolean => features.some(({ name, state }) => state === 'unknown' && !name.startsWith('config:'))
