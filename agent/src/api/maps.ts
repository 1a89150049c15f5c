import type { ConntrackEntry, Datapath } from '../datapath/types.ts'
import type { EndpointManager } from '../endpoint/manager.ts'
import type { Answer, Routes } from './http.ts'
import { findEndpoint } from './operation.ts'

const ok = (body: unknown): Answer => ({ body })

/** What BPF maps hold. */
export function mapRoutes(datapath: Datapath, endpoints: EndpointManager): Routes {
  return {
    'GET /v1/map/tunnel': () => ok(datapath.listTunnels()),
    'GET /v1/map/lb': () => ok(datapath.listServices()),
    'GET /v1/map/ct/*': ({ parameters: [of = ''] }) => ok(conntrackOf(datapath, endpoints, of)),
    'GET /v1/map': () => ok({ maps: datapath.listMaps() }),
    'GET /v1/map/ipcache': () => ok([...datapath.listIPCache(), ...datapath.listCIDRs().map(({ prefix, identity }) => ({ ip: prefix, identity }))]),
    'GET /v1/map/endpoint': () => ok(datapath.listEndpoints()),
    'GET /v1/map/policy': () => ok(endpoints.list().map(({ id }) => ({ id, entries: datapath.listPolicy(id) }))),
    'GET /v1/map/policy/*': ({ parameters: [id = ''] }) => { const it = findEndpoint(endpoints, id); return ok({ id: it.id, entries: datapath.listPolicy(it.id) }) },
    'GET /v1/map/metrics': () => ok(datapath.metrics()),
  }
}

/** `global`, or an endpoint's. */
function conntrackOf(datapath: Datapath, endpoints: EndpointManager, of: string): ConntrackEntry[] {
  const own = of === 'global' ? undefined : findEndpoint(endpoints, of).record
  const all = datapath.listConntrack()
  return own === undefined ? all : all.filter(({ src, dst }) => [own.ipv4, own.ipv6].some((ip) => ip === src || ip === dst))
}
