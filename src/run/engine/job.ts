import { createHash } from 'node:crypto'
import type { V1Job, V1Volume, V1VolumeMount } from '@kubernetes/client-node'
import { cellMemoryMiB } from '../matrix-jobs.ts'
import type { E2eOptions } from '../options.ts'
import type { KubernetesEngineOptions } from './engine-options.ts'
import { podContainer, podFolders, podTaskVariable } from './pod-places.ts'
import type { PodTask } from './pod-task.ts'

/** On everything that is made on the cluster: `kubectl get jobs,pods -l app.kubernetes.io/managed-by=kernelbed`. */
export const managedBy = { 'app.kubernetes.io/name': 'kernelbed', 'app.kubernetes.io/managed-by': 'kernelbed' } as const

/** QEMU's own memory beside a machine's. */
const QEMU_MIB = 128
/** A finished Job that nobody removed (its runner's host died) goes by itself, where the cluster has that controller. */
const TTL_SECONDS = 600

/** What a cell takes: the memory of its machines, of QEMU, and of what runs beside them (matrix-jobs.ts); a core for each processor of each machine. */
export const cellNeeds = ({ nodes, memoryMiB, cpus }: Pick<E2eOptions, 'nodes' | 'memoryMiB' | 'cpus'>): { readonly memoryMiB: number; readonly cpus: number } =>
  ({ memoryMiB: cellMemoryMiB(nodes, memoryMiB) + nodes * QEMU_MIB, cpus: nodes * (cpus ?? 1) })

/** Name of a cell's Job: at most 50 characters, as a pod's name adds some to it. Cells of one run differ in the digits at its end. */
export function jobName(task: Pick<PodTask, 'id' | 'name'>): string {
  const plain = (text: string): string => text.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '')
  const [run = ''] = task.id.split('/')
  return `kb-${plain(run).slice(-24)}-${plain(task.name).slice(0, 16).replace(/-$/, '')}-${createHash('sha256').update(task.id).digest('hex').slice(0, 4)}`.replace(/--+/g, '-')
}

const labelValue = (text: string): string => text.replace(/[^A-Za-z0-9._-]+/g, '_').slice(0, 63).replace(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/g, '')

/** The Job of a cell: one pod, begun once, whatever becomes of it. `args` are those of `npm run e2e`. */
export function jobOf(task: PodTask, args: readonly string[], options: E2eOptions, engine: KubernetesEngineOptions): V1Job {
  const { memoryMiB, cpus } = cellNeeds(options)
  const labels = { ...managedBy, 'kernelbed/run': labelValue(task.id.split('/')[0] ?? ''), 'kernelbed/kernel': labelValue(task.name) }
  const kvm = engine.kvm && 'resource' in engine.kvm ? { [engine.kvm.resource]: '1' } : {}
  const { volumes, mounts } = volumesOf(engine)
  return {
    apiVersion: 'batch/v1', kind: 'Job',
    metadata: { name: jobName(task), labels, annotations: { 'kernelbed/command': task.repeat } },
    spec: {
      backoffLimit: 0, completions: 1, parallelism: 1, activeDeadlineSeconds: engine.deadlineMinutes * 60, ttlSecondsAfterFinished: TTL_SECONDS,
      template: {
        metadata: { labels },
        spec: {
          restartPolicy: 'Never', automountServiceAccountToken: false, enableServiceLinks: false,
          // Everything of a cell ends with its container.
          terminationGracePeriodSeconds: 5,
          containers: [{
            name: podContainer, image: engine.image, imagePullPolicy: 'IfNotPresent', args: [...args], workingDir: podFolders.work,
            env: [{ name: podTaskVariable, value: JSON.stringify(task) }, { name: 'XDG_CACHE_HOME', value: podFolders.cache }, { name: 'TMPDIR', value: podFolders.work }, ...mirrorOf(process.env)],
            resources: { requests: { cpu: String(cpus), memory: `${memoryMiB}Mi`, ...kvm }, limits: { memory: `${Math.ceil(memoryMiB * 1.25)}Mi`, ...kvm } },
            volumeMounts: mounts,
            ...(engine.kvm && 'device' in engine.kvm ? { securityContext: { privileged: true } } : {}),
          }],
          volumes,
        },
      },
    },
  }
}

/** A mirror that the cluster may reach as well; a folder is of this host. */
const mirrorOf = ({ KERNELBED_MIRROR: mirror }: NodeJS.ProcessEnv): { name: string; value: string }[] => (mirror !== undefined && /^https?:/.test(mirror) ? [{ name: 'KERNELBED_MIRROR', value: mirror }] : [])

function volumesOf({ cache, kvm }: KubernetesEngineOptions): { volumes: V1Volume[]; mounts: V1VolumeMount[] } {
  const source: Omit<V1Volume, 'name'> = cache === undefined ? { emptyDir: {} } : 'claim' in cache ? { persistentVolumeClaim: { claimName: cache.claim } } : { hostPath: { path: cache.hostPath, type: 'DirectoryOrCreate' } }
  const device = kvm && 'device' in kvm ? kvm.device : undefined
  return {
    volumes: [{ name: 'work', emptyDir: {} }, { name: 'cache', ...source }, ...(device === undefined ? [] : [{ name: 'kvm', hostPath: { path: device, type: 'CharDevice' } }])],
    mounts: [{ name: 'work', mountPath: podFolders.work }, { name: 'cache', mountPath: podFolders.cache }, ...(device === undefined ? [] : [{ name: 'kvm', mountPath: '/dev/kvm' }])],
  }
}
