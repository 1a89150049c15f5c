import { waitFor } from '../core/wait.ts'
import type { KubeClient } from './client.ts'

/** Waits until a namespace that was just made has its default service account: pods are refused before. Throws KernelbedError (cluster) after 20 s. */
export async function namespaceTakesPods({ core }: Pick<KubeClient, 'core'>, namespace: string, signal?: AbortSignal): Promise<void> {
  await waitFor({ name: `the default service account of ${namespace}`, timeoutMs: 20_000, blame: 'cluster', ...(signal ? { signal } : {}) }, async () => {
    await core.readNamespacedServiceAccount({ name: 'default', namespace })
    return { done: true }
  })
}
