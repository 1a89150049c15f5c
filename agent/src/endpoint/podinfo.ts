import type { Pod } from '../k8s/types.ts'
import { podLabels, type Labels } from '../identity/labels.ts'

export interface PodInfo { uid: string | undefined; labels: Labels; namedPorts: Record<string, number> }

/** What an endpoint takes from its pod. */
export function podInfo(pod: Pod): PodInfo {
  const ports = pod.spec.containers.flatMap(({ ports = [] }) => ports)
  return {
    uid: pod.metadata.uid,
    labels: podLabels({ namespace: pod.metadata.namespace ?? 'default', labels: pod.metadata.labels ?? {} }),
    namedPorts: Object.fromEntries(ports.flatMap(({ name, containerPort, protocol = 'TCP' }) => (name === undefined ? [] : [[`${name}/${protocol}`, containerPort]]))),
  }
}
