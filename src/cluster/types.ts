import type { MachineHandle } from '../machine/types.ts'

/** Reaches a running cluster from another process; JSON. */
export interface ClusterHandle {
  /** Admin kubeconfig; server is https://127.0.0.1:<port> on the host. */
  readonly kubeconfig: string
  readonly kubectl: string
  readonly version: string
  readonly nodes: readonly MachineHandle[]
  readonly podCidr: string
  readonly serviceCidr: string
  /** API server as nodes see it. */
  readonly nodeApi: { readonly host: string; readonly port: number }
}
