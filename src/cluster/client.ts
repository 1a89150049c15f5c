import { AppsV1Api, CoreV1Api, CustomObjectsApi, KubeConfig, NetworkingV1Api } from '@kubernetes/client-node'
import { runCommand, type CommandOptions, type CommandResult } from '../core/command.ts'
import type { ClusterHandle } from './types.ts'

/** Typed clients of a running cluster, from its handle alone. */
export interface KubeClient {
  readonly config: KubeConfig
  readonly core: CoreV1Api
  readonly apps: AppsV1Api
  readonly networking: NetworkingV1Api
  readonly custom: CustomObjectsApi
}

export function kubeClient(handle: Pick<ClusterHandle, 'kubeconfig'>): KubeClient {
  const config = new KubeConfig()
  config.loadFromFile(handle.kubeconfig)
  return {
    config, core: config.makeApiClient(CoreV1Api), apps: config.makeApiClient(AppsV1Api),
    networking: config.makeApiClient(NetworkingV1Api), custom: config.makeApiClient(CustomObjectsApi),
  }
}

/** Runs the cluster's own kubectl as admin. Throws CommandError unless `allowFailure`. */
export const kubectl = (handle: Pick<ClusterHandle, 'kubectl' | 'kubeconfig'>, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> =>
  runCommand(handle.kubectl, ['--kubeconfig', handle.kubeconfig, ...args], { blame: 'cluster', timeoutMs: 60_000, ...options })
