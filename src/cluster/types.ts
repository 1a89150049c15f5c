import type { SshHost } from '../machine/ssh-host.ts'
import type { MachineHandle, NodeHandle } from '../machine/types.ts'
import type { AgentEtcd } from './agent-etcd.ts'
import type { Lacks } from './lacks.ts'

/** A container of the cluster. */
export interface ContainerRef { readonly namespace: string; readonly pod: string; readonly container: string }

/** A node that somebody else made. */
export interface ForeignNode extends NodeHandle {
  readonly foreign: {
    /** Root's shell, where the user's SSH configuration has the node. */
    readonly ssh?: SshHost
    /** Else a privileged pod of ours on its network, where one may be made. */
    readonly pod?: ContainerRef
  }
}

/** Whether the node is a machine that the framework made. */
export const isMachine = (node: MachineHandle | ForeignNode): node is MachineHandle => !('foreign' in node)

/** Reaches a running cluster from another process; JSON. */
export interface ClusterHandle {
  /** Admin kubeconfig, whose server is https://127.0.0.1:<port> on the host; of somebody else's cluster the user's, with the chosen context alone. */
  readonly kubeconfig: string
  readonly kubectl: string
  readonly version: string
  readonly nodes: readonly (MachineHandle | ForeignNode)[]
  /** Of somebody else's cluster. */
  readonly foreign?: {
    /** What a cluster of ours has, and this one has not: tests that need it are skipped with the reason. */
    readonly lacks: Lacks
    /** Labels of every namespace that is made: by them all is removed again. */
    readonly labels: Readonly<Record<string, string>>
  }
  /** Empty where a foreign cluster does not say. */
  readonly podCidr: string
  readonly serviceCidr: string
  /** Address of name service that kubelet tells pods; nothing is there until a suite makes it. Absent where it is somebody else's. */
  readonly dns?: string
  /** API server as nodes see it. */
  readonly nodeApi: { readonly host: string; readonly port: number }
  /** For the agent, where its driver asked for one. */
  readonly etcd?: AgentEtcd
}
