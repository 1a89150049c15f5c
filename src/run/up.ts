import type { StartedAgent } from '../agent/index.ts'
import type { ClusterHandle } from '../cluster/index.ts'
import { compareVersions } from '../core/versions.ts'
import type { Kernel } from '../kernels/index.ts'
import type { StartedMachine } from '../machine/index.ts'
import type { FeatureTable } from '../probe/index.ts'
import type { StartedWire } from '../wire/index.ts'

/** What results and expectations go by of a node's kernel. */
export type RunKernel = Pick<Kernel, 'name' | 'release' | 'line' | 'digest'>

/** Everything that is up when the suites begin; partial while a run comes up, so that its evidence can be gathered at any time. */
export interface Up {
  /** Of each machine. */
  readonly kernels: readonly RunKernel[]
  /** Those that the run started. */
  readonly machines: readonly StartedMachine[]
  /** Absent where the network between the nodes is not ours. */
  readonly wire?: StartedWire
  readonly cluster: { readonly handle: ClusterHandle }
  readonly agent: StartedAgent
  /** What the kernel of each machine can do. */
  readonly features: readonly FeatureTable[]
  /** Reference of the workload image, which suites deploy. */
  readonly workloadImage: string
}

/** Hears what is up so far. */
export type Tell = (up: Partial<Up>) => void

const distinct = (values: readonly string[]): string[] => [...new Set(values)]

/** The kernel of a run as people and suites see it: of a mixed cluster the names of all, and the oldest's line. */
export function runKernelOf(kernels: readonly RunKernel[]): { readonly name: string; readonly release: string; readonly line: string } {
  const lines = distinct(kernels.map(({ line }) => line)).sort(compareVersions)
  const mixed = distinct(kernels.map(({ digest }) => digest)).length > 1
  const names = kernels.map(({ name }) => name)
  return { name: mixed ? names.join('+') : (names[0] ?? ''), release: distinct(kernels.map(({ release }) => release)).join(', '), line: lines[0] ?? '' }
}
