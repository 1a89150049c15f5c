import { hasFault } from '../fault.ts'
import { namespaceLabel, parseLabel, type Labels } from '../identity/labels.ts'
import type { Requirement, Selector } from './rule.ts'

/** Selects by the labels of an identity's namespace, which are not among its own: `k8s:io.cilium.k8s.namespace.labels.team`. */
export const namespaceMetaPrefix = 'io.cilium.k8s.namespace.labels.'

/** Labels of a namespace by its name; undefined when there is no such namespace. */
export type NamespaceLabels = (namespace: string) => Record<string, string> | undefined

export const selectsAll = (selector: Selector): boolean => requirements(selector).length === 0

export function matches(selector: Selector, labels: Labels, namespaceLabels: NamespaceLabels): boolean {
  const counted = requirements(selector).filter(({ key }) => !(hasFault('namespaces-ignored') && /namespace/.test(key)))
  return counted.every((requirement) => satisfies(requirement, valuesOf(requirement.key, labels, namespaceLabels)))
}

function requirements({ matchLabels = {}, matchExpressions = [] }: Selector): Requirement[] {
  return [...Object.entries(matchLabels).map(([key, value]): Requirement => ({ key, operator: 'In', values: [value] })), ...matchExpressions]
}

/** Kubernetes' rule: NotIn and DoesNotExist hold for a key that isn't there. */
function satisfies({ operator, values = [] }: Requirement, found: string[]): boolean {
  switch (operator) {
    case 'In': return found.some((value) => values.includes(value))
    case 'NotIn': return !found.some((value) => values.includes(value))
    case 'Exists': return found.length > 0
    case 'DoesNotExist': return found.length === 0
  }
}

function valuesOf(selectorKey: string, labels: Labels, namespaceLabels: NamespaceLabels): string[] {
  const { source, key } = parseLabel(selectorKey)
  const parsed = labels.map(parseLabel)
  if (!key.startsWith(namespaceMetaPrefix)) {
    return parsed.filter((label) => label.key === key && (source === 'any' || source === '' || source === label.source || label.source === 'any')).map(({ value }) => value)
  }
  const namespace = parsed.find((label) => label.source === 'k8s' && label.key === namespaceLabel)?.value
  const value = namespace === undefined ? undefined : namespaceLabels(namespace)?.[key.slice(namespaceMetaPrefix.length)]
  return value === undefined ? [] : [value]
}
