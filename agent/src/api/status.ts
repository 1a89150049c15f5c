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
import { controllerModel, type State, type StatusModel } from './models.ts'

export interface StatusDeps {
  datapath: Datapath; stores: Stores; endpoints: EndpointManager; ipam: IPAM; monitor: MonitorHub; controllers: Controller[]; shared: SharedState; health: HealthProber; proxy: { redirects: number; failure?: string | undefined }
  kubernetesVersion: string; routerIPv4: string; routerIPv6?: string | undefined
}

const apis = (identities: boolean): string[] => [
  'CustomResourceDefinition', 'cilium/v2::CiliumEndpoint', ...(identities ? ['cilium/v2::CiliumIdentity'] : []), 'cilium/v2::CiliumNetworkPolicy', 'core/v1::Endpoint', 'core/v1::Namespace', 'core/v1::Node', 'core/v1::Pods',
  'core/v1::Service', 'networking.k8s.io/v1::NetworkPolicy',
]

/** Kubernetes fails while a list or a watch does, and until it has been heard of. `version`: what the server says of itself, once it was asked. */
function kubernetesState(stores: Stores, version: string | undefined): StatusModel['kubernetes'] {
  const served = apis(stores.identities !== undefined)
  const broken = allStores(stores).find(({ error }) => error !== undefined)
  if (broken !== undefined) return { state: 'Failure', msg: `${broken.source.path}: ${broken.error}`, 'k8s-api-versions': served }
  const heard = allStores(stores).every(({ synced }) => synced)
  return { state: heard ? 'Ok' : 'Warning', msg: version ?? (heard ? '' : 'not heard of yet'), 'k8s-api-versions': served }
}

/** What `cilium status` shows before the agent is ready. `starting`: what it waits for. */
export function startingModel({ stores, kvstore, starting, controllers, datapath, monitor }: {
  stores: Stores; kvstore: State; starting: string; controllers: Controller[]; datapath: Datapath | undefined; monitor: MonitorHub | undefined
}): StatusModel {
  return {
    kvstore, 'container-runtime': { state: 'Disabled' }, kubernetes: kubernetesState(stores, undefined), cilium: { state: 'Failure', msg: starting }, 'cilium-health': { state: 'Disabled' },
    ...(datapath === undefined ? {} : { nodeMonitor: nodeMonitor(datapath, monitor?.lost) }), controllers: controllers.map(({ status }) => controllerModel(status)),
  }
}

function nodeMonitor({ ring: { cpus, pages, pageSize } }: Datapath, lost = 0): NonNullable<StatusModel['nodeMonitor']> {
  return { cpus, npages: pages, pagesize: pageSize, ...(lost === 0 ? {} : { lost }) }
}

/** What `cilium status` shows. Cilium fails while the kvstore does. */
export function statusModel({ datapath, stores, endpoints, ipam, monitor, controllers, kubernetesVersion, routerIPv4, routerIPv6, health, proxy, shared }: StatusDeps): StatusModel {
  const kvstore = shared.status()
  const mode = datapath.prefilterMode()
  return {
    kvstore,
    'container-runtime': { state: 'Disabled' },
    kubernetes: kubernetesState(stores, kubernetesVersion),
    cilium: kvstore.state === 'Failure' ? { state: 'Failure', msg: 'Kvstore service is not ready' } : { state: 'Ok', msg: 'OK' },
    nodeMonitor: nodeMonitor(datapath, monitor.lost),
    ipam: { ipv4: [routerIPv4, ...endpoints.list().map(({ record }) => record.ipv4)], ...(routerIPv6 === undefined ? {} : { ipv6: [routerIPv6, ...endpoints.list().flatMap(({ record }) => record.ipv6 ?? [])] }), capacity: ipam.capacity + 1 },
    proxy: { ip: routerIPv4, 'port-range': `${portRange.first}-${portRange.last}`, redirects: proxy.redirects, ...(proxy.failure === undefined ? {} : { error: proxy.failure }) }, ...(mode === undefined ? {} : { prefilter: { mode } }),
    'cilium-health': { state: health.enabled ? 'Ok' : 'Disabled' }, ...(health.last === undefined ? {} : { cluster: healthModel(health.last) }),
    controllers: controllers.map(({ status }) => controllerModel(status)),
  }
}
