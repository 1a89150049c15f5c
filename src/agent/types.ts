import type { ClusterHandle } from '../cluster/types.ts'
import type { FeatureTable } from '../probe/types.ts'
import type { AgentHandle } from './handle.ts'

export type { AgentHandle } from './handle.ts'

/** What `run.json` in the run folder holds; suites attach by it. */
export interface RunHandle {
  readonly id: string
  readonly dir: string
  readonly kernel: { readonly name: string; readonly release: string; readonly line: string }
  /** What the kernel of each machine can do, as probed; tests are skipped by it (fixtures/needs.ts). */
  readonly features: readonly FeatureTable[]
  readonly cluster: ClusterHandle
  /** Absent where the network between the nodes is not ours. */
  readonly wire?: import('../wire/types.ts').WireHandle
  readonly agent: AgentHandle
  /** Image of the workload that suites deploy (probe and busybox). */
  readonly workloadImage: string
  /** The cluster ends with the run: what suites made in it may stay as evidence, and ending it would take the nodes' time from collecting that. */
  readonly ends?: boolean
}
