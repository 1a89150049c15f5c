import net from 'node:net'
import { listenOn } from '../datapath/proxy.ts'
import { hostPort } from '../text/hostport.ts'
import type { ConntrackEntry, ConntrackSweep, Datapath, DatapathConfig, EndpointLink, EndpointSpec, PolicyAllow, RawEvent, ServiceSpec, TunnelEntry } from '../datapath/types.ts'

type Policy = { ingress?: PolicyAllow[]; egress?: PolicyAllow[] }

/** What maps and interfaces hold; kept outside the datapath so that it survives a restart of the agent, as they do. */
export interface FakeKernel {
  endpoints: Map<number, Omit<EndpointSpec, 'netns' | 'containerInterface'> & { link: EndpointLink; policy: Policy }>
  ipcache: Map<string, { identity: number; node?: string }>
  cidrs: Map<string, number>
  tunnels: Map<string, string>
  services: Map<string, ServiceSpec>
  metrics: ReturnType<Datapath['metrics']>
  connections: ConntrackEntry[]
  /** What a sweep finds. */
  conntrack: ConntrackSweep[]
  /** By the prefilter. */
  denied: string[]
  /** Every call that changed something, in order. */
  calls: string[]
  /** Calls that begin so are refused, and change nothing. */
  refused: string[]
}

export const fakeKernel = (): FakeKernel => ({ endpoints: new Map(), ipcache: new Map(), cidrs: new Map(), tunnels: new Map(), services: new Map(), metrics: [], connections: [], conntrack: [], denied: [], calls: [], refused: [] })

/** The contract of the datapath, in memory. `emit` plays the perf ring. */
export function openFakeDatapath(config: DatapathConfig, kernel: FakeKernel = fakeKernel()): Datapath & { emit: (event: RawEvent) => void; config: DatapathConfig } {
  const listeners = new Set<(event: RawEvent) => void>()
  const log = (...parts: unknown[]) => {
    const call = parts.map((part) => (typeof part === 'string' ? part : JSON.stringify(part))).join(' ')
    kernel.calls.push(call)
    if (kernel.refused.some((start) => call.startsWith(start))) throw new Error('the map is full')
  }
  const find = (id: number) => {
    const endpoint = kernel.endpoints.get(id)
    if (endpoint === undefined) throw new Error(`endpoint ${id} is not in the datapath`)
    return endpoint
  }
  const key = ({ ip, port, protocol }: ServiceSpec['frontend']) => `${hostPort(ip, port)}/${protocol}`
  return {
    config,
    ring: { cpus: 2, pages: config.monitorPages, pageSize: 4096 },
    notes: [],
    attach: () => undefined,
    emit: (event) => { for (const listener of listeners) listener(event) },
    onEvent: (listener) => { listeners.add(listener); return () => listeners.delete(listener) },
    addEndpoint: (spec) => {
      log('addEndpoint', spec.id, spec.ipv4, spec.identity)
      const link: EndpointLink = { hostInterface: spec.hostInterface, ifindex: 100 + kernel.endpoints.size, mac: '02:00:00:00:00:01', nodeMac: '02:00:00:00:00:02' }
      kernel.endpoints.set(spec.id, { id: spec.id, hostInterface: spec.hostInterface, ipv4: spec.ipv4, ...(spec.ipv6 === undefined ? {} : { ipv6: spec.ipv6 }), identity: spec.identity, link, policy: {} })
      return link
    },
    adoptEndpoint: (spec) => { log('adoptEndpoint', spec.id); return kernel.endpoints.get(spec.id)?.link },
    inspectEndpoint: ({ hostInterface }) => {
      const endpoint = [...kernel.endpoints.values()].find((it) => it.hostInterface === hostInterface)
      if (endpoint === undefined) return { host: undefined, container: undefined }
      const six = endpoint.ipv6 === undefined || config.ipv6 === undefined ? undefined : { ip: endpoint.ipv6, router: config.ipv6.router }
      return {
        host: { mac: endpoint.link.nodeMac, up: true }, container: {
          mac: endpoint.link.mac, up: true, addresses: [`${endpoint.ipv4}/32`, ...(six === undefined ? [] : [`${six.ip}/128`])],
          routes: [{ dst: `${config.routerIPv4}/32` }, { dst: '0.0.0.0/0', gw: config.routerIPv4 }, ...(six === undefined ? [] : [{ dst: `${six.router}/128` }, { dst: '::/0', gw: six.router }])],
        },
      }
    },
    removeEndpoint: (id) => { log('removeEndpoint', id); kernel.endpoints.delete(id) },
    setEndpointIdentity: (id, identity) => { log('setEndpointIdentity', id, identity); find(id).identity = identity },
    setPolicy: (id, policy) => { log('setPolicy', id, policy); find(id).policy = policy },
    upsertIPCache: (ip, entry) => { log('upsertIPCache', ip, entry); kernel.ipcache.set(ip, entry) },
    deleteIPCache: (ip) => { log('deleteIPCache', ip); kernel.ipcache.delete(ip) },
    upsertCIDR: (prefix, identity) => { log('upsertCIDR', prefix, identity); kernel.cidrs.set(prefix, identity) },
    deleteCIDR: (prefix) => { log('deleteCIDR', prefix); kernel.cidrs.delete(prefix) },
    listCIDRs: () => [...kernel.cidrs].map(([prefix, identity]) => ({ prefix, identity })),
    upsertTunnel: ({ prefix, node }: TunnelEntry) => { log('upsertTunnel', prefix, node); kernel.tunnels.set(prefix, node) },
    deleteTunnel: (prefix) => { log('deleteTunnel', prefix); kernel.tunnels.delete(prefix) },
    upsertService: (service) => { log('upsertService', service); kernel.services.set(key(service.frontend), service) },
    deleteService: (frontend) => { log('deleteService', key(frontend)); kernel.services.delete(key(frontend)) },
    listTunnels: () => [...kernel.tunnels].map(([prefix, node]) => ({ prefix, node })),
    listServices: () => [...kernel.services.values()],
    listIPCache: () => [...kernel.ipcache].map(([ip, entry]) => ({ ip, ...entry })),
    listConntrack: () => kernel.connections,
    listMaps: () => [{ name: 'cilium_lxc', entries: kernel.endpoints.size, capacity: 2048 }, { name: 'cilium_ipcache', entries: kernel.ipcache.size, capacity: 16_384 }],
    listEndpoints: () => [...kernel.endpoints.values()].map(({ id, ipv4: ip, identity, link: { ifindex, mac, nodeMac } }) => ({ ip, id, ifindex, mac, nodeMac, identity })),
    listPolicy: (id) => (['ingress', 'egress'] as const).flatMap((direction) => (find(id).policy[direction] ?? []).map((allow) => ({ direction, proxyPort: 0, ...allow, packets: 0, bytes: 0 }))),
    // Redirects are the kernel's: here nobody comes to the proxy.
    listenForProxy: (port) => { log('listenForProxy', port); return listenOn(undefined, port) },
    proxyOrigin: () => undefined,
    connectForProxy: () => new net.Socket(),
    collectConntrack: async () => kernel.conntrack,
    metrics: () => kernel.metrics,
    setPrefilter: (prefixes) => { log('setPrefilter', prefixes); kernel.denied = [...prefixes] },
    prefilterMode: () => (kernel.denied.length === 0 ? undefined : 'generic'),
    setDebug: (on) => log('setDebug', on),
    ping: async () => 0.5,
    close: () => log('close'),
    uninstall: () => log('uninstall'),
  }
}
