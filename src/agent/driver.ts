import type { ClusterHandle } from '../cluster/index.ts'
import type { Context } from '../core/context.ts'
import type { ImageTar, Kubernetes } from '../image/types.ts'
import type { AgentHandle } from './handle.ts'
import type { Refusal } from './refusal.ts'

/** What a user may ask of an agent. */
export interface AgentOptions {
  /** Builds the agent with one seeded fault (`AgentDriver.faults`), to prove that a suite notices. */
  readonly fault?: string
  /** The kernel is one that the agent must refuse: it is not waited for until it is ready, but until it is plain what becomes of it. */
  readonly refuses?: boolean
  /** `--agent-manifests`: files, folders or URLs, of plain manifests or what Helm rendered. */
  readonly manifests?: readonly string[]
  /** `--agent-image`: tars of container images. */
  readonly images?: readonly string[]
  /** `--agent-option`: values of `AgentDriver.options`, by name. */
  readonly settings?: Readonly<Record<string, string>>
}

/** One wrong behaviour that can be built into an agent. */
export interface SeededFault {
  readonly name: string
  /** What is wrong then, a sentence. */
  readonly does: string
  /** Suites of which at least one must catch it. */
  readonly caughtBy: readonly string[]
  /** `--agent-option` values with which alone it shows. */
  readonly settings?: Readonly<Record<string, string>>
}

/** A setting of an agent, for `--agent-option name=value`. */
export interface AgentSetting {
  readonly description: string
  /** Values it takes; any text without. */
  readonly values?: readonly string[]
}

/** What is put on a cluster, and how the agent is reached then. */
export interface InstallPlan {
  /** YAML for `kubectl apply`. */
  readonly manifests: string
  readonly handle: Omit<AgentHandle, 'driver'>
  /** What was changed in the user's manifests, and why; shown. */
  readonly notes?: readonly string[]
  /** Asks the running agent what it is, where that was not certain before. `exec` runs its command line on a node and answers what it printed. */
  refine?(exec: (args: readonly string[]) => Promise<string>): Promise<Omit<AgentHandle, 'driver'>>
}

/** Where an agent is that somebody else installed. */
export interface FoundAgent {
  /** How its pods are found and it is spoken to, as far as that is certain before it is asked. */
  readonly handle: Omit<AgentHandle, 'driver'>
  /** Asks the running agent what it is. `run` runs a whole command line in its container: what it printed, or undefined when it failed or is not there. */
  ask?(run: (argv: readonly string[]) => Promise<string | undefined>): Promise<Omit<AgentHandle, 'driver'>>
}

/** How an agent tells what a kernel's verifier makes of its programs. */
export interface VerifierStats {
  /** In the agent's container: prints a line of JSON a program, `{name, instructions, processed}`. */
  readonly command: readonly string[]
  /** JSON file with what was counted before: `[instructions, processed]` by release and program. */
  readonly recorded: string
}

/**
 * An agent: what there is to know of it that no cluster tells. Applying the manifests, waiting until it is ready, evidence when it is not, and everything after go by
 * the plan (install.ts) and the handle (attach.ts). A file with a driver as its default export is given as `--agent ./my-driver.ts`; docs/agents.md has one.
 */
export interface AgentDriver {
  readonly name: string
  /** Seeded faults it can be built with (`--fault`, `npm run mutants`). */
  readonly faults?: readonly SeededFault[]
  /** Which of `--agent-manifests` and `--agent-image` it takes. */
  readonly takes?: readonly ('manifests' | 'images')[]
  /** What `--agent-option` takes. */
  readonly options?: Readonly<Record<string, AgentSetting>>
  /** MiB that a machine should have for it; more than the usual is given where the user does not say. */
  readonly memoryMiB?: number
  /** `npm run bench -- verifier`. */
  readonly verifier?: VerifierStats
  /** How it refuses a kernel that is too old for it. */
  readonly refusal?: Refusal
  /** How it is found on a cluster where somebody else installed it (`--cluster existing`). Without it, it isn't. */
  find?(options: AgentOptions): FoundAgent
  /** Throws a usage error for options it can do nothing with. Called before anything is started. */
  check?(options: AgentOptions): void
  /**
   * Whether it keeps its state in an etcd, which the cluster has to offer (`ClusterHandle.etcd`): TLS with client certificates, on every node. Without it, it does not. Called before machines start.
   */
  needsEtcd?(ctx: Context, options: AgentOptions, kubernetes: Kubernetes): boolean | Promise<boolean>
  /** Container images that the nodes need, made or fetched and cached. Called before machines start, as the images travel on a disk of theirs. */
  prepareImages(ctx: Context, options: AgentOptions, kubernetes: Kubernetes): Promise<readonly ImageTar[]>
  /** Tells apart what the plan makes of the same images (its manifests, say): clusters with the agent in place are saved under it. Without it none is. */
  installDigest?(options: AgentOptions): string
  /** Throws KernelbedError blaming the agent. */
  plan(cluster: ClusterHandle, ctx: Context, options: AgentOptions): Promise<InstallPlan>
}
