import { keyOf } from '../k8s/informer.ts'
import type { Service } from '../k8s/types.ts'
import type { ServiceReference } from '../policy/rule.ts'
import { matches } from '../policy/selector.ts'
import { serviceOf, type Cluster } from './translate.ts'

/** The addresses behind the services that a rule names. Those with a selector lead to pods, which have identities: they are none of these. */
export function serviceAddresses(reference: ServiceReference, { services, endpoints, slices }: Omit<Cluster, 'nodes'>): string[] {
  const found = new Set(services.filter((service) => isMeant(reference, service) && Object.keys(service.spec.selector ?? {}).length === 0).map(keyOf))
  if (found.size === 0) return []
  const inEndpoints = endpoints.filter((one) => found.has(keyOf(one))).flatMap(({ subsets }) => (subsets ?? []).flatMap(({ addresses = [] }) => addresses.map(({ ip }) => ip)))
  const inSlices = slices.filter((slice) => slice.addressType !== 'FQDN' && found.has(serviceOf(slice))).flatMap((slice) => (slice.endpoints ?? []).flatMap(({ addresses }) => addresses))
  return [...new Set([...inEndpoints, ...inSlices])].sort()
}

function isMeant({ k8sService, k8sServiceSelector }: ServiceReference, { metadata: { name, namespace = 'default', labels = {} } }: Service): boolean {
  if (k8sService !== undefined && k8sService.serviceName === name && (k8sService.namespace ?? 'default') === namespace) return true
  if (k8sServiceSelector === undefined || (k8sServiceSelector.namespace ?? namespace) !== namespace) return false
  return matches(k8sServiceSelector.selector, Object.entries(labels).map(([key, value]) => `any:${key}=${value}`), () => undefined)
}
