import { setTimeout as delay } from 'node:timers/promises'
import { waitFor } from '../../core/wait.ts'
import { codeOf, explainApi, type ClusterAccess } from './access.ts'

/** Removes a Job and its pod; resolves when the cluster has neither. Nothing there is a success. Throws KernelbedError when they are still there after three minutes. */
export async function removeJob({ batch, core, namespace, server }: ClusterAccess, name: string): Promise<void> {
  await waitFor({ name: `Job ${namespace}/${name} and its pod to be gone`, timeoutMs: 180_000, intervalMs: 500, blame: 'cluster', hint: `kubectl delete job -n ${namespace} ${name}` }, async () => {
    try {
      await batch.deleteNamespacedJob({ name, namespace, propagationPolicy: 'Background' })
    } catch (error) {
      if (codeOf(error) !== 404) return { seen: explainApi(error, server).message }
    }
    const left = (await core.listNamespacedPod({ namespace, labelSelector: `job-name=${name}` })).items
    return left.length === 0 ? { done: undefined } : { seen: left.map((pod) => `pod ${pod.metadata?.name}: ${pod.metadata?.deletionTimestamp ? 'ending' : pod.status?.phase}`).join(', ') }
  })
}

/** As removeJob, for a runner that was killed: a request of its to make the Job may still be on its way. */
export async function removeJobOfDead(access: ClusterAccess, name: string): Promise<void> {
  await removeJob(access, name)
  await delay(3000)
  await removeJob(access, name)
}
