import type { StartedCluster } from '../cluster/index.ts'
import type { Context } from '../core/context.ts'
import type { ImageTar } from '../image/types.ts'
import type { Refusal } from './refusal.ts'
import type { Settled } from './settled.ts'
import type { AgentHandle } from './types.ts'

/** What a user may ask of an agent. */
export interface AgentOptions {
  /** Builds the agent with one seeded fault (`AgentDriver.faults`), to prove that a suite notices. */
  readonly fault?: string
  /** The kernel is one that the agent must refuse: `install` waits until it is plain what becomes of it, instead of until it is ready. */
  readonly refuses?: boolean
}

/** What an agent can do that not every agent can; suites skip what a driver does not have. */
export type Capability = 'network-policy' | 'cilium-network-policy' | 'services' | 'vxlan' | 'monitor-json'

/** An agent that is installed, and runs unless it was to refuse. */
export interface StartedAgent {
  readonly handle: AgentHandle
  /** What became of it on each node, where it was to refuse. Whether that is as it must be is for the suite to say. */
  readonly settled?: readonly Settled[]
}

/** How an agent gets onto a cluster. Everything after that goes by its AgentHandle (attach.ts) and what its `cilium` prints. */
export interface AgentDriver {
  readonly name: string
  /** Seeded faults it can be built with. */
  readonly faults: readonly string[]
  readonly capabilities: readonly Capability[]
  /** How it refuses a kernel that is too old for it. */
  readonly refusal?: Refusal
  /** Container images that the nodes need, made or fetched and cached. Called before machines start, as the images travel on a disk of theirs. */
  prepareImages(ctx: Context, options: AgentOptions): Promise<readonly ImageTar[]>
  /** Tells apart what `install` makes of the same images (its manifests, say): clusters with the agent in place are saved under it. Without it none is. */
  installDigest?(options: AgentOptions): string
  /** Applies the manifests and waits until the agent is ready on every node, or has settled where it must refuse. Throws KernelbedError blaming the agent, with its logs. */
  install(cluster: StartedCluster, ctx: Context, options: AgentOptions): Promise<StartedAgent>
}

/** Lines of an agent's log that mean it is broken, whatever else it says. */
export const fatalLog: readonly RegExp[] = [
  /^panic: /, /POTENTIAL DEADLOCK:/, /segmentation fault/i, /NACK received for version/, /RunInit: Command execution failed/, /level=fatal/,
]

/** The fatal lines of a log. */
export const fatalLines = (log: string): string[] => log.split('\n').filter((line) => fatalLog.some((pattern) => pattern.test(line)))
