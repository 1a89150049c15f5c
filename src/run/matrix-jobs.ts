import { availableParallelism } from 'node:os'
import { availableMemoryMiB } from '../machine/memory.ts'

/** What the number of cells at a time depends on. */
export interface Host {
  readonly cores: number
  readonly memoryMiB: number
}

/** Beside its machines a cell has a control plane, its runner and the suites' process: measured 1.3 GiB (docs/decisions.md). */
const BESIDE_MACHINES_MIB = 1536

export const thisHost = (): Host => ({ cores: availableParallelism(), memoryMiB: availableMemoryMiB() })

/** Memory that one cell takes, in MiB. */
export const cellMemoryMiB = (nodes: number, memoryMiB: number): number => nodes * memoryMiB + BESIDE_MACHINES_MIB

/** How many cells run side by side unless `--jobs` says otherwise: one for each core, for half of a cell's time is waiting, and no more than the free memory holds; at least one. */
export function defaultJobs(cells: number, machines: { readonly nodes: number; readonly memoryMiB: number }, host: Host): number {
  return Math.max(1, Math.min(cells, host.cores, Math.floor(host.memoryMiB / cellMemoryMiB(machines.nodes, machines.memoryMiB))))
}
