import { createHash } from 'node:crypto'

/** Security labels, `source:key=value`, sorted; equal lists mean the same identity. */
export type Labels = readonly string[]

export const namespaceLabel = 'io.kubernetes.pod.namespace'

/**
 * Labels that change without meaning (a roll-out's hash, a stateful set's pod name) would make an identity a pod: Cilium's default
 * filter leaves them out.
 */
const ignored = [/^io\.kubernetes/, /kubernetes\.io/, /^pod-template-generation/, /^pod-template-hash/, /^controller-revision-hash/, /^annotation\./, /^etcd_node/]
const kept = [/^app\.kubernetes\.io/]

export function podLabels(pod: { namespace: string; labels: Record<string, string> }): Labels {
  const relevant = Object.entries(pod.labels).filter(([key]) => kept.some((it) => it.test(key)) || !ignored.some((it) => it.test(key)))
  return [...relevant, [namespaceLabel, pod.namespace]].map(([key, value]) => formatLabel('k8s', key!, value!)).sort()
}

export interface Label { source: string; key: string; value: string }

/** Splits `k8s:app=x`; a label without a source has source ``. */
export function parseLabel(label: string): Label {
  const [, source = '', key = '', value = ''] = /^(?:([^:=]*):)?([^=]*)=?(.*)$/s.exec(label) ?? []
  return { source, key, value }
}

export function formatLabel(source: string, key: string, value: string): string {
  return source === 'reserved' && value === '' ? `reserved:${key}` : `${source}:${key}=${value}`
}

/** The map form that a CiliumIdentity has: `k8s:app` → `x`. */
export function labelsToMap(labels: Labels): Record<string, string> {
  return Object.fromEntries(labels.map((label) => { const { source, key, value } = parseLabel(label); return [`${source}:${key}`, value] }))
}
export function labelsFromMap(map: Record<string, string>): Labels {
  return Object.entries(map).map(([key, value]) => `${key}=${value}`).sort()
}

/** Cilium's `labelsSHA256`: SHA-512/256 over `source:key=value;` of every label. */
export function labelsHash(labels: Labels): string {
  const text = labels.map((label) => { const { source, key, value } = parseLabel(label); return `${source}:${key}=${value};` }).join('')
  return createHash('sha512-256').update(text).digest('hex')
}
