import type { Stores } from '../cluster/stores.ts'
import { allStores } from '../cluster/stores.ts'
import type { Datapath } from '../datapath/types.ts'
import type { EndpointManager } from '../endpoint/manager.ts'
import { healthModel } from '../health/model.ts'
import type { HealthProber } from '../health/prober.ts'
import type { IPAM } from '../endpoint/ipam.ts'
import type { MonitorHub } from '../monitor/hub.ts'
import { portRange } from '../proxy/proxy.ts'
import type { Controller } from '../reconcile/controller.ts'
import type { SharedState } from '../shared/state.ts'
import { controllerModel, type StatusModel } from './models.ts'

export interface StatusDeps {
  datapath: Datapath; stores: Stores; endpoints: EndpointManager; ipam: IPAM; monitor: MonitorHub; controllers: Controller[]; shared: SharedState; health: HealthProber; proxy: { redirects: number }
  kubernetesVersion: string; routerIPv4: string; routerIPv6?: string | undefined; ready: () => boolean
}

const apis = (identities: boolean): string[] => [
  'CustomResourceDefinition', 'cilium/v2::CiliumEndpoint', ...(identities ? ['cilium/v2::CiliumIdentity'] : []), 'cilium/v2::CiliumNetworkPolicy', 'core/v1::Endpoint', 'core/v1::Namespace', 'core/v1::Node', 'core/v1::Pods',
  'core/v1::Service', 'networking.k8s.io/v1::NetworkPolicy',
]

/** What `cilium status` shows. Kubernetes fails while a watch does; Cilium while the kvstore does, or while a controller does or the start isn't over. */
export function statusModel({ datapath, stores, endpoints, ipam, monitor, controllers, kubernetesVersion, routerIPv4, routerIPv6, ready, health, proxy, shared }: StatusDeps): StatusModel {
  const { cpus, pages, pageSize } = datapath.ring
  const kvstore = shared.status()
  const served = apis(stores.identities !== undefined)
  const mode = datapath.prefilterMode()
  const broken = allStores(stores).find(({ error }) => error !== undefined)
  return {
    kvstore,
    'container-runtime': { state: 'Disabled' },
    kubernetes: broken === undefined ? { state: 'Ok', msg: kubernetesVersion, 'k8s-api-versions': served } : { state: 'Failure', msg: `${broken.source.path}: ${broken.error}`, 'k8s-api-versions': served },
    cilium: kvstore.state === 'Failure' ? { state: 'Failure', msg: 'Kvstore service is not ready' } : ready() ? { state: 'Ok', msg: 'OK' } : { state: 'Failure', msg: 'starting: not all of the cluster is known yet' },
    nodeMonitor: { cpus, npages: pages, pagesize: pageSize, ...(monitor.lost === 0 ? {} : { lost: monitor.lost }) },
    ipam: { ipv4: [routerIPv4, ...endpoints.list().map(({ record }) => record.ipv4)], ...(routerIPv6 === undefined ? {} : { ipv6: [routerIPv6, ...endpoints.list().flatMap(({ record }) => record.ipv6 ?? [])] }), capacity: ipam.capacity + 1 },
    proxy: { ip: routerIPv4, 'port-range': `${portRange.first}-${portRange.last}`, redirects: proxy.redirects }, ...(mode === undefined ? {} : { prefilter: { mode } }),
    'cilium-health': { state: health.enabled ? 'Ok' : 'Disabled' }, ...(health.last === undefined ? {} : { cluster: healthModel(health.last) }),
    controllers: controllers.map(({ status }) => controllerModel(status)),
  }
}
