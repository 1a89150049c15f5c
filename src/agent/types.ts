import type { ClusterHandle } from '../cluster/types.ts'
import type { FeatureTable } from '../probe/types.ts'

/** Reaches an installed agent from another process; JSON. */
export interface AgentHandle {
  /** Driver's name: `lash`, `cilium`, or the path of a driver. */
  readonly driver: string
  readonly version?: string
  readonly namespace: string
  /** Label selector of the agent's pods, e.g. `k8s-app=cilium`. */
  readonly selector: string
  /** Container name of the agent inside its pods. */
  readonly container: string
  /** argv prefix of its command line inside the container: `['cilium']`. */
  readonly cli: readonly string[]
}

/** What `run.json` in the run folder holds; suites attach by it. */
export interface RunHandle {
  readonly id: string
  readonly dir: string
  readonly kernel: { readonly name: string; readonly release: string; readonly line: string }
  /** What the kernel of each machine can do, as probed; tests are skipped by it (fixtures/needs.ts). */
  readonly features: readonly FeatureTable[]
  readonly cluster: ClusterHandle
  readonly wire: import('../wire/types.ts').WireHandle
  readonly agent: AgentHandle
  /** Image of the workload that suites deploy (probe and busybox). */
  readonly workloadImage: string
}
