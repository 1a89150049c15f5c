import { BatchV1Api, CoreV1Api, KubeConfig } from '@kubernetes/client-node'
import { missingPermissions, type Permission } from '../../cluster/index.ts'
import { KernelbedError, usageError } from '../../core/errors.ts'
import type { KubernetesEngineOptions } from './engine-options.ts'

/** The cluster that cells run on. */
export interface ClusterAccess {
  /** Absolute path. */
  readonly kubeconfig: string
  readonly config: KubeConfig
  readonly server: string
  readonly namespace: string
  readonly batch: BatchV1Api
  readonly core: CoreV1Api
}

/** Reads the kubeconfig; connects to nothing. Throws a usage error when it names no cluster. */
export function openAccess({ kubeconfig, namespace }: Pick<KubernetesEngineOptions, 'kubeconfig' | 'namespace'>): ClusterAccess {
  const config = new KubeConfig()
  try {
    config.loadFromFile(kubeconfig)
  } catch (cause) {
    throw usageError(`--kubeconfig ${kubeconfig} cannot be read: ${messageOf(cause).split('\n')[0]}`, 'give a kubeconfig as kubectl takes it')
  }
  const context = config.getContextObject(config.getCurrentContext())
  if (!context) throw usageError(`--kubeconfig ${kubeconfig} has no current context${config.getCurrentContext() ? ` "${config.getCurrentContext()}"` : ''}`, `kubectl config use-context … --kubeconfig ${kubeconfig}; it has ${config.getContexts().map(({ name }) => name).join(', ') || 'none'}`)
  const cluster = config.getCurrentCluster()
  if (!cluster) throw usageError(`--kubeconfig ${kubeconfig}: its context ${context.name} names the cluster "${context.cluster}", which is not in it`)
  if (!/^https?:\/\//.test(cluster.server) || !URL.canParse(cluster.server)) throw usageError(`--kubeconfig ${kubeconfig}: the server of its cluster is no address: "${cluster.server}"`)
  return { kubeconfig, config, server: cluster.server, namespace: namespace ?? context.namespace ?? 'default', batch: config.makeApiClient(BatchV1Api), core: config.makeApiClient(CoreV1Api) }
}

/** What a run does on a cluster, all of it in one namespace. `get pods/exec` is how a WebSocket asks, `create` what newer servers want beside it. */
export const neededRights: readonly Permission[] = [
  { group: 'batch', resource: 'jobs', verbs: ['create', 'get', 'delete'] },
  { group: '', resource: 'pods', verbs: ['list'] }, { group: '', resource: 'pods/log', verbs: ['get'] }, { group: '', resource: 'pods/exec', verbs: ['get', 'create'] },
]

/** Asks the API server whether all that a run does is allowed. Throws KernelbedError (cluster) that names what is missing, or why it cannot be asked. */
export async function assertRights({ config, namespace, server, kubeconfig }: ClusterAccess): Promise<void> {
  const missing = await missingPermissions({ config }, neededRights.map((right) => ({ namespace, ...right }))).catch((cause: unknown) => {
    throw explainApi(cause, server)
  })
  if (missing.length === 0) return
  const names = missing.flatMap(({ group, resource, verbs }) => verbs.map((verb) => `${verb} ${resource}${group ? `.${group}` : ''}`))
  throw new KernelbedError(`the account of ${kubeconfig} may not ${names.join(', ')} in namespace ${namespace}`, { blame: 'cluster', hint: 'bind it to a Role with these rights (docs/engine.md has one), or choose another --engine-namespace' })
}

/** An error of the client as a person can use it. */
export function explainApi(error: unknown, server: string, doing = 'asking'): KernelbedError {
  if (error instanceof KernelbedError) return error
  const code = codeOf(error)
  const said = statusMessage(error)
  if (code === 401) return new KernelbedError(`the API server ${server} does not accept the kubeconfig's credentials`, { blame: 'cluster', hint: 'they may have expired: get a new kubeconfig' })
  if (code === 403) return new KernelbedError(`the API server ${server} forbids ${doing}: ${said}`, { blame: 'cluster', hint: 'docs/engine.md has the Role that is needed' })
  if (code !== undefined) return new KernelbedError(`the API server ${server} answered ${code} to ${doing}: ${said}`, { blame: 'cluster' })
  return new KernelbedError(`cannot reach the API server ${server}: ${messageOf(error)}`, { blame: 'cluster', hint: 'check the server\'s address and certificate in the kubeconfig, and the network' })
}

/** HTTP status of an error that the API server answered. */
export function codeOf(error: unknown): number | undefined {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
  return typeof code === 'number' ? code : undefined
}

/** `message` of the Status in the answer. */
function statusMessage(error: unknown): string {
  const body = typeof error === 'object' && error !== null && 'body' in error ? error.body : undefined
  const text = typeof body === 'string' ? body : JSON.stringify(body ?? '')
  try {
    const status = JSON.parse(text) as { message?: unknown }
    if (typeof status.message === 'string') return status.message
  } catch {
    // no Status: a proxy's page, or nothing
  }
  return text.slice(0, 300)
}

/** `fetch failed` says nothing: its cause does. */
export function messageOf(error: unknown): string {
  let last = error
  while (last instanceof Error && last.cause instanceof Error) last = last.cause
  if (last instanceof AggregateError && last.errors[0] instanceof Error) last = last.errors[0]
  return last instanceof Error ? last.message : String(last)
}
