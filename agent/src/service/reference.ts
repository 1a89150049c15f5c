import type { Informer } from '../k8s/informer.ts'
import { keyOf } from '../k8s/informer.ts'
import type { Endpoints, Service } from '../k8s/types.ts'
import type { ServiceReference } from '../policy/rule.ts'
import { matches } from '../policy/selector.ts'

/** The IPv4 addresses behind the services that a rule names. Those with a selector lead to pods, which have identities: they are none of these. */
export function serviceAddresses(reference: ServiceReference, services: Service[], endpoints: Pick<Informer<Endpoints>, 'get'>): string[] {
  const found = services.filter((service) => isMeant(reference, service) && Object.keys(service.spec.selector ?? {}).length === 0)
  const addresses = found.flatMap((service) => (endpoints.get(keyOf(service))?.subsets ?? []).flatMap(({ addresses = [] }) => addresses.map(({ ip }) => ip)))
  return [...new Set(addresses.filter((ip) => !ip.includes(':')))].sort()
}

function isMeant({ k8sService, k8sServiceSelector }: ServiceReference, { metadata: { name, namespace = 'default', labels = {} } }: Service): boolean {
  if (k8sService !== undefined && k8sService.serviceName === name && (k8sService.namespace ?? 'default') === namespace) return true
  if (k8sServiceSelector === undefined || (k8sServiceSelector.namespace ?? namespace) !== namespace) return false
  return matches(k8sServiceSelector.selector, Object.entries(labels).map(([key, value]) => `any:${key}=${value}`), () => undefined)
}
