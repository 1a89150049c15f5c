import type { V1Pod } from '@kubernetes/client-node'

/** kubelet goes on trying after these, but what it tries does not change. */
const hopeless = ['ErrImageNeverPull', 'ImagePullBackOff', 'InvalidImageName', 'ErrImagePull']

/** Why a pod's image cannot be had, in kubelet's words; undefined when that is not what it waits for. */
export function imageProblem({ status }: V1Pod): string | undefined {
  const waiting = status?.containerStatuses?.map(({ state }) => state?.waiting).find((state) => hopeless.includes(state?.reason ?? ''))
  return waiting && [waiting.reason, waiting.message].filter(Boolean).join(': ')
}
