import type { AgentConfig } from '../config/agent.ts'
import { allStores, type Stores } from '../cluster/stores.ts'
import type { Datapath } from '../datapath/types.ts'
import { cniVersions } from '../endpoint/cni.ts'
import type { EndpointManager } from '../endpoint/manager.ts'
import type { Etcd } from '../kvstore/state.ts'
import type { MonitorHub } from '../monitor/hub.ts'
import type { Controller } from '../reconcile/controller.ts'
import { version } from '../version.ts'
import { ApiError, type Routes } from './http.ts'
import { mapRoutes } from './maps.ts'
import { command, monitorRoute } from './routes.ts'
import { startingModel } from './status.ts'

/** What there is of an agent while it starts, in the order in which it comes. */
export interface Starting {
  config: AgentConfig; stores: Stores
  /** Where one is used. */
  etcd?: Etcd
  /** From when on this node is known. */
  open?: { datapath: Datapath; monitor: MonitorHub; endpoints: EndpointManager; controllers: Controller[] }
}

/** What can be asked before all of the cluster is known: how far it is, its monitor and maps. The rest is refused with what it waits for, pods until later. */
export function startingRoutes(starting: Starting): Routes {
  const { config, open } = starting
  const refuse = (): never => { throw new ApiError(503, waitsFor(starting)) }
  return {
    'GET /v1/healthz': () => ({ body: startingModel({ stores: starting.stores, kvstore: starting.etcd?.status.model() ?? { state: 'Ok', msg: 'Disabled' }, starting: waitsFor(starting), controllers: open?.controllers ?? [], datapath: open?.datapath, monitor: open?.monitor }) }),
    'GET /v1/version': () => ({ body: version }),
    'POST /v1/command': async ({ body }) => command(await body(), config['socket-path']),
    // 11: try again later.
    'POST /v1/cni': () => ({ status: 503, body: { cniVersion: cniVersions.at(-1), code: 11, msg: `cilium agent is ${waitsFor(starting)}; pods are served once it is ready` } }),
    ...(open === undefined ? {} : { 'GET /v1/monitor': monitorRoute(open.monitor), ...mapRoutes(open.datapath, open.endpoints) }),
    ...Object.fromEntries(['GET', 'PUT', 'PATCH', 'POST', 'DELETE'].map((method) => [`${method} /**`, refuse])),
  }
}

/** In words. */
function waitsFor({ config, stores, etcd, open }: Starting): string {
  const missing = allStores(stores).filter(({ synced }) => !synced).map(({ source }) => source.path.split('/').at(-1)!)
  if (missing.length > 0) return `starting: waiting for Kubernetes to list ${missing.join(', ')}`
  if (open === undefined) return `starting: waiting for Node ${config['node-name']} to be registered with a pod CIDR and an InternalIP`
  if (etcd?.mirror.synced === false) return `starting: waiting for etcd (${etcd.store.endpoints.join(', ')})`
  return 'starting: bringing the datapath up to date'
}
