import type { V1ContainerState, V1Pod } from '@kubernetes/client-node'
import { KernelbedError } from '../../core/errors.ts'

/** What a pod's status says of it. */
export type PodState =
  /** Not begun: `why` is for people; `hopeless` when waiting longer changes nothing. */
  | { readonly kind: 'waiting'; readonly why: string; readonly hopeless: boolean; readonly hint?: string }
  | { readonly kind: 'running' }
  /** It ended by itself, or was ended. */
  | { readonly kind: 'dead'; readonly error: KernelbedError }

/** Reasons that no later attempt of the kubelet does away with. */
const hopeless = ['InvalidImageName', 'ErrImageNeverPull', 'CreateContainerConfigError', 'CreateContainerError', 'RunContainerError', 'StartError']
const imageReasons = ['ErrImagePull', 'ImagePullBackOff', 'InvalidImageName', 'ErrImageNeverPull', 'RegistryUnavailable', 'ImageInspectError']

export function podState(pod: V1Pod): PodState {
  const name = pod.metadata?.name ?? '?'
  const { phase, reason, message } = pod.status ?? {}
  const state = pod.status?.containerStatuses?.[0]?.state
  if (state?.terminated) return { kind: 'dead', error: ended(name, pod, state.terminated) }
  if (phase === 'Failed' || phase === 'Succeeded') return { kind: 'dead', error: failed(name, reason, message) }
  if (pod.metadata?.deletionTimestamp) return { kind: 'dead', error: new KernelbedError(`pod ${name} is being deleted, by someone else${message ? `: ${message}` : ''}`, { blame: 'cluster', hint: 'its node may be drained; run the cell again' }) }
  if (state?.running) return { kind: 'running' }
  const scheduled = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled')
  if (scheduled?.status === 'False') return { kind: 'waiting', why: scheduled.message ?? scheduled.reason ?? 'not scheduled', hopeless: false, hint: 'no node has room for the cell: fewer or smaller machines (--nodes, --memory, --cpus), bigger nodes, or fewer --jobs' }
  const waiting = state?.waiting
  if (!waiting) return { kind: 'waiting', why: pod.spec?.nodeName ? `on ${pod.spec.nodeName}` : 'not scheduled yet', hopeless: false }
  const why = [waiting.reason, waiting.message].filter(Boolean).join(': ')
  const image = imageReasons.includes(waiting.reason ?? '')
  return { kind: 'waiting', why, hopeless: hopeless.includes(waiting.reason ?? ''), ...(image ? { hint: `the nodes must have the image ${pod.spec?.containers[0]?.image}, or be able to pull it (--engine-image; npm run engine-image makes it)` } : {}) }
}

/** True when the kubelet is at its second attempt, or a later one, to get the image. */
export const imageIsNotThere = (pod: V1Pod): boolean => ['ImagePullBackOff', 'ErrImagePull'].includes(pod.status?.containerStatuses?.[0]?.state?.waiting?.reason ?? '')

function failed(name: string, reason: string | undefined, message: string | undefined): KernelbedError {
  const said = [reason, message].filter(Boolean).join(': ') || 'failed'
  const hint = reason === 'Evicted' ? 'its node was short of what the message names; run the cell again, or on bigger nodes'
    : reason === 'DeadlineExceeded' ? 'more --engine-deadline, or fewer suites'
      : 'look at its node'
  return new KernelbedError(`pod ${name}: ${said}`, { blame: 'cluster', hint })
}

function ended(name: string, pod: V1Pod, { exitCode, reason, message }: NonNullable<V1ContainerState['terminated']>): KernelbedError {
  const limit = pod.spec?.containers[0]?.resources?.limits?.['memory']
  if (pod.status?.reason === 'DeadlineExceeded' || pod.status?.reason === 'Evicted') return failed(name, pod.status.reason, pod.status.message)
  if (reason === 'OOMKilled') return new KernelbedError(`pod ${name} was killed: it used more memory than its limit, ${limit ?? 'which it has not'}`, { blame: 'cluster', hint: 'the limit follows --memory and --nodes; if machines fit into it, this is a fault of kernelbed' })
  const how = [reason, message].filter(Boolean).join(': ')
  return new KernelbedError(`pod ${name} ended with exit code ${exitCode} and left no results${how && how !== 'Error' ? ` (${how})` : ''}`, {
    blame: 'cluster', hint: exitCode === 137 ? 'it was killed: its node ran out of memory, or went down' : 'what it printed last is above; is --engine-image one that npm run engine-image of this version made?',
  })
}
