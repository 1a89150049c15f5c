import { KernelbedError } from '../core/errors.ts'
import type { KubeObject } from './manifests.ts'

/** Objects as a cluster serves them, and what was changed or left out for that. */
export interface Served { readonly objects: KubeObject[]; readonly notes: readonly string[] }

interface Workload { spec?: { selector?: { matchLabels?: Record<string, string> }; template?: { metadata?: { labels?: Record<string, string> } }; [key: string]: unknown } }
interface Binding { roleRef?: { apiGroup?: string }; subjects?: { kind: string; apiGroup?: string; apiVersion?: string }[] }

const workloads = ['DaemonSet', 'Deployment', 'StatefulSet', 'ReplicaSet']

/** Fields of `extensions/v1beta1` that `apps/v1` does not know. */
const gone = ['templateGeneration', 'rollbackTo']

/**
 * Rewrites objects of API versions that Kubernetes (1.`minor`) no longer serves to those that took their place, by the deprecation guide of Kubernetes: workloads to
 * `apps/v1` (1.16), RBAC to `v1` (1.22), and leaves out what has gone for good. Throws KernelbedError for what cannot be rewritten.
 */
export function served(objects: readonly KubeObject[], minor: number): Served {
  const notes: string[] = []
  const changed = objects.flatMap((object): KubeObject[] => {
    const now = served1(structuredClone(object), minor)
    const what = `${object.kind} ${object.metadata.name}`
    if (now === undefined) notes.push(`${what} is left out: Kubernetes 1.${minor} has no ${object.apiVersion} ${object.kind}`)
    else if (now.apiVersion !== object.apiVersion) notes.push(`${what}: ${object.apiVersion} is ${now.apiVersion} now`)
    return now ? [now] : []
  })
  return { objects: changed, notes }
}

function served1(object: KubeObject, minor: number): KubeObject | undefined {
  const { apiVersion, kind } = object
  if (workloads.includes(kind) && /^(extensions|apps)\/v1(beta\d|alpha\d)/.test(apiVersion)) return workload(object)
  if (/^rbac\.authorization\.k8s\.io\/v1(beta1|alpha1)$/.test(apiVersion)) return rbac(object)
  if (kind === 'NetworkPolicy' && apiVersion === 'extensions/v1beta1') return { ...object, apiVersion: 'networking.k8s.io/v1' }
  if (kind === 'PodSecurityPolicy') return minor >= 25 ? undefined : { ...object, apiVersion: 'policy/v1beta1' }
  if (kind === 'PodDisruptionBudget' && apiVersion === 'policy/v1beta1' && minor >= 25) return { ...object, apiVersion: 'policy/v1' }
  if (kind === 'PodDisruptionBudget' && apiVersion === 'policy/v1' && minor < 21) return { ...object, apiVersion: 'policy/v1beta1' }
  if (kind === 'CustomResourceDefinition' && apiVersion === 'apiextensions.k8s.io/v1beta1' && minor >= 22) {
    throw new KernelbedError(`${kind} ${object.metadata.name}: Kubernetes 1.${minor} has no ${apiVersion}, and its schema cannot be rewritten`, { blame: 'agent', hint: 'use a Kubernetes before 1.22 (--kubernetes), or the manifests of a newer version' })
  }
  return object
}

/** `apps/v1` wants the selector that the old versions took from the template's labels. */
function workload(object: KubeObject): KubeObject {
  const { spec } = object as Workload
  const labels = spec?.template?.metadata?.labels
  if (!spec || !labels) throw new KernelbedError(`${object.kind} ${object.metadata.name} has no labels in its template: its pods could not be told from others`, { blame: 'agent', hint: 'correct the manifest' })
  const kept = Object.fromEntries(Object.entries(spec).filter(([field]) => !gone.includes(field)))
  return { ...object, apiVersion: 'apps/v1', spec: { selector: { matchLabels: labels }, ...kept } }
}

function rbac(object: KubeObject): KubeObject {
  const { roleRef, subjects } = object as Binding
  if (roleRef) roleRef.apiGroup ??= 'rbac.authorization.k8s.io'
  for (const subject of subjects ?? []) {
    // v1alpha1 named the group by its version.
    delete subject.apiVersion
    if (subject.kind !== 'ServiceAccount') subject.apiGroup ??= 'rbac.authorization.k8s.io'
  }
  return { ...object, apiVersion: 'rbac.authorization.k8s.io/v1' }
}
