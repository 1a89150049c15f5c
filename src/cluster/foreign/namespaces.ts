import { ApiException } from '@kubernetes/client-node'
import type { Context } from '../../core/context.ts'
import { KernelbedError } from '../../core/errors.ts'
import { waitFor } from '../../core/wait.ts'
import type { KubeClient } from '../client.ts'
import { apiMessage } from './connect.ts'

const runLabel = 'kernelbed.dev/run'
/** kubelets must take the pods down before a namespace is gone. */
const goneMs = 90_000

/** Labels of all that a run makes in somebody else's cluster. */
export const labelsOf = (run: string): Record<string, string> => ({ 'app.kubernetes.io/managed-by': 'kernelbed', [runLabel]: run })

/** Makes sure that every namespace with the run's label is removed when the run ends, however it does; to be called before the first is made. */
export function claimNamespaces(kube: KubeClient, run: string, ctx: Context): void {
  ctx.registry.claim(`namespaces of the run in the cluster (label ${runLabel}=${run})`, async () => removeNamespaces(kube, run))
}

/** Makes a namespace with the run's labels, in which pods may be privileged. */
export async function createNamespace(kube: KubeClient, name: string, labels: Readonly<Record<string, string>>): Promise<void> {
  await kube.core.createNamespace({ body: { metadata: { name, labels: { ...labels, 'pod-security.kubernetes.io/enforce': 'privileged' } } } })
}

/** Names of namespaces that other runs made, and may have left. */
export async function othersNamespaces(kube: KubeClient, run: string): Promise<string[]> {
  return (await kube.core.listNamespace({ labelSelector: runLabel })).items.flatMap(({ metadata }) => (metadata?.labels?.[runLabel] === run ? [] : [metadata?.name ?? '']))
}

/** Deletes the run's namespaces and waits until they are gone. Throws KernelbedError that says what is left, and how to remove it. */
export async function removeNamespaces(kube: KubeClient, run: string): Promise<void> {
  const selector = `${runLabel}=${run}`
  let left: readonly string[] | undefined
  const list = async (): Promise<readonly string[]> => (left = (await kube.core.listNamespace({ labelSelector: selector })).items.map(({ metadata }) => metadata?.name ?? ''))
  const hint = `kubectl delete namespace -l ${selector}`
  try {
    // The grace period is that of the pods, and they ask for none.
    for (const name of await list()) await kube.core.deleteNamespace({ name }).catch((error: unknown) => (error instanceof ApiException && [404, 409].includes(error.code) ? undefined : Promise.reject(error as Error)))
    await waitFor({ name: 'the namespaces to be gone', timeoutMs: goneMs, intervalMs: 500, blame: 'cluster' }, async () => ((await list()).length ? { seen: left!.join(', ') } : { done: undefined }))
  } catch (error) {
    const what = left === undefined ? 'whatever the run made' : `namespace ${left.join(', ')}`
    throw new KernelbedError(`left in the cluster: ${what}, label ${selector}`, { blame: 'cluster', details: error instanceof KernelbedError ? [error.message, error.details].filter(Boolean).join('\n') : apiMessage(error), hint })
  }
}
