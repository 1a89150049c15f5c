import { KernelbedError } from '../core/errors.ts'
import type { KubeObject } from './manifests.ts'

/** Objects as a cluster serves them, and what was changed or left out for that. */
export interface Served { readonly objects: KubeObject[]; readonly notes: readonly string[] }

interface Workload { spec?: { selector?: { matchLabels?: Record<string, string> }; template?: { metadata?: { labels?: Record<string, string> } }; [key: string]: unknown } }
interface Binding { roleRef?: { apiGroup?: string }; subjects?: { kind: string; apiGroup?: string; apiVersion?: string }[] }
interface Definition { spec?: { group?: string; names?: { kind?: string } } }

const workloads = ['DaemonSet', 'Deployment', 'StatefulSet', 'ReplicaSet']

/** Fields of `extensions/v1beta1` that `apps/v1` does not know. */
const gone = ['templateGeneration', 'rollbackTo']

/** Kubernetes' own API groups; the core group has no name. Kinds of all others are custom. */
const own = [
  '', 'admissionregistration.k8s.io', 'apiextensions.k8s.io', 'apiregistration.k8s.io', 'apps', 'authentication.k8s.io', 'authorization.k8s.io', 'autoscaling', 'batch', 'certificates.k8s.io',
  'coordination.k8s.io', 'discovery.k8s.io', 'events.k8s.io', 'extensions', 'flowcontrol.apiserver.k8s.io', 'networking.k8s.io', 'node.k8s.io', 'policy', 'rbac.authorization.k8s.io',
  'resource.k8s.io', 'scheduling.k8s.io', 'storage.k8s.io',
]

/** A kind that went to another version with the same fields: `to` is served since 1.`since`, `from` before that. By the deprecation guide of Kubernetes. */
interface Moved { readonly kind: string; readonly from: string; readonly to: string; readonly since: number }
const moved: readonly Moved[] = [
  { kind: 'NetworkPolicy', from: 'extensions/v1beta1', to: 'networking.k8s.io/v1', since: 7 },
  { kind: 'APIService', from: 'apiregistration.k8s.io/v1beta1', to: 'apiregistration.k8s.io/v1', since: 10 },
  { kind: 'PriorityClass', from: 'scheduling.k8s.io/v1beta1', to: 'scheduling.k8s.io/v1', since: 14 },
  { kind: 'PriorityClass', from: 'scheduling.k8s.io/v1alpha1', to: 'scheduling.k8s.io/v1', since: 14 },
  { kind: 'Lease', from: 'coordination.k8s.io/v1beta1', to: 'coordination.k8s.io/v1', since: 14 },
  { kind: 'IngressClass', from: 'networking.k8s.io/v1beta1', to: 'networking.k8s.io/v1', since: 19 },
  { kind: 'RuntimeClass', from: 'node.k8s.io/v1beta1', to: 'node.k8s.io/v1', since: 20 },
  { kind: 'CronJob', from: 'batch/v1beta1', to: 'batch/v1', since: 21 },
  { kind: 'PodDisruptionBudget', from: 'policy/v1beta1', to: 'policy/v1', since: 21 },
]

/** What cannot be rewritten, as its fields changed: the versions served, from 1.`since` on, up to but without 1.`until`. */
interface Bound { readonly kind: string; readonly apiVersion: string; readonly since?: number; readonly until?: number }
const bound: readonly Bound[] = [
  { kind: 'CustomResourceDefinition', apiVersion: 'apiextensions.k8s.io/v1beta1', until: 22 },
  { kind: 'CustomResourceDefinition', apiVersion: 'apiextensions.k8s.io/v1', since: 16 },
  { kind: 'MutatingWebhookConfiguration', apiVersion: 'admissionregistration.k8s.io/v1beta1', until: 22 },
  { kind: 'MutatingWebhookConfiguration', apiVersion: 'admissionregistration.k8s.io/v1', since: 16 },
  { kind: 'ValidatingWebhookConfiguration', apiVersion: 'admissionregistration.k8s.io/v1beta1', until: 22 },
  { kind: 'ValidatingWebhookConfiguration', apiVersion: 'admissionregistration.k8s.io/v1', since: 16 },
  { kind: 'Ingress', apiVersion: 'extensions/v1beta1', until: 22 },
  { kind: 'Ingress', apiVersion: 'networking.k8s.io/v1beta1', until: 22 },
  { kind: 'Ingress', apiVersion: 'networking.k8s.io/v1', since: 19 },
]

/**
 * Rewrites objects of API versions that Kubernetes (1.`minor`) does not serve to those that it does: workloads to `apps/v1` (1.16), RBAC to `v1` (1.22), and so on. What has gone for good, or
 * is of a kind that neither Kubernetes nor the manifests define, is left out. Throws KernelbedError for what cannot be rewritten.
 */
export function served(objects: readonly KubeObject[], minor: number): Served {
  const notes: string[] = []
  const defined = new Set(objects.filter(({ kind }) => kind === 'CustomResourceDefinition').map((object) => `${(object as Definition).spec?.group}/${(object as Definition).spec?.names?.kind}`))
  const changed = objects.flatMap((object): KubeObject[] => {
    const what = `${object.kind} ${object.metadata.name}`
    const group = groupOf(object)
    if (!own.includes(group) && !defined.has(`${group}/${object.kind}`)) {
      notes.push(`${what} is left out: the manifests have no CustomResourceDefinition for ${object.kind} of ${group}`)
      return []
    }
    const now = served1(structuredClone(object), minor)
    if (now === undefined) notes.push(`${what} is left out: Kubernetes 1.${minor} has no ${object.apiVersion} ${object.kind}`)
    else if (now.apiVersion !== object.apiVersion) notes.push(`${what}: ${object.apiVersion} is ${now.apiVersion} now`)
    return now ? [now] : []
  })
  return { objects: changed, notes }
}

const groupOf = ({ apiVersion }: KubeObject): string => (apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '')

function served1(object: KubeObject, minor: number): KubeObject | undefined {
  const { apiVersion, kind } = object
  if (workloads.includes(kind) && /^(extensions|apps)\/v1(beta\d|alpha\d)/.test(apiVersion)) return workload(object)
  if (/^rbac\.authorization\.k8s\.io\/v1(beta1|alpha1)$/.test(apiVersion)) return rbac(object)
  if (kind === 'ThirdPartyResource') return undefined
  if (kind === 'PodSecurityPolicy') return minor >= 25 ? undefined : { ...object, apiVersion: 'policy/v1beta1' }
  assertServed(object, minor)
  const newer = moved.find((each) => each.kind === kind && each.from === apiVersion && minor >= each.since)
  const older = moved.find((each) => each.kind === kind && each.to === apiVersion && minor < each.since)
  return { ...object, apiVersion: newer?.to ?? older?.from ?? apiVersion }
}

function assertServed({ apiVersion, kind, metadata }: KubeObject, minor: number): void {
  const limits = bound.find((each) => each.kind === kind && each.apiVersion === apiVersion)
  if (limits === undefined || (minor >= (limits.since ?? 0) && minor < (limits.until ?? Infinity))) return
  const when = limits.until === undefined ? `1.${limits.since} or later` : `one before 1.${limits.until}`
  throw new KernelbedError(`${kind} ${metadata.name}: Kubernetes 1.${minor} has no ${apiVersion}, and its fields are others in the version that it has`, { blame: 'usage', hint: `use ${when} (--kubernetes VERSION), manifests for Kubernetes 1.${minor} (helm template --kube-version 1.${minor}), or leave the object out of them` })
}

/** `apps/v1` wants the selector that the old versions took from the template's labels. */
function workload(object: KubeObject): KubeObject {
  const { spec } = object as Workload
  const labels = spec?.template?.metadata?.labels
  if (!spec || !labels) throw new KernelbedError(`${object.kind} ${object.metadata.name} has no labels in its template: its pods could not be told from others`, { blame: 'usage', hint: 'correct the manifest' })
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
