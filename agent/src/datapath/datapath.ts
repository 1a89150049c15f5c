import fs from 'node:fs'
import type net from 'node:net'
import { MAP_TYPE, type BpfMap } from './bpf.ts'
import { CIDRMap } from './cidrs.ts'
import { forgetAddress, listConntrack, sweepConntrack } from './conntrack.ts'
import { cpus } from './cpus.ts'
import { isIPv6, parsePrefix } from './address.ts'
import { DEVICE } from './devices.ts'
import { EndpointMaps, attachEndpoint, checkEndpointId, connectEndpoint, disconnectEndpoint, farMac, inspectEndpoint, linkOf, type EndpointEntry } from './endpoints.ts'
import { DatapathError } from './errors.ts'
import { ENDPOINT_FLAG, u32Key } from './layouts.ts'
import type { Programs, ProgramInfo } from './loader.ts'
import { PAGE_SIZE, PerfReader } from './perf.ts'
import { ping } from './ping.ts'
import { PrefilterProgram, type PrefilterMode } from './prefilter.ts'
import { pinFolder } from './bpffs.ts'
import { PolicyMap } from './policies.ts'
import { connectMarked, listenOn, ProxyMap } from './proxy.ts'
import { deleteRoute, getLink, listLinks, requireLink, setRoute, withNetlink, type Route } from './rtnetlink.ts'
import { ServiceMaps } from './services.ts'
import { IPCacheMap, TunnelMap } from './tunnels.ts'
import type {
  AdoptedEndpoint, ConntrackEntry, ConntrackSweep, Datapath, DatapathConfig, EndpointLink, EndpointSpec, InspectedEndpoint, MapFill, PolicyAllow, ProxyOrigin, RawEvent, ServiceSpec, Socket, TunnelEntry,
} from './types.ts'
import { acceptOwnAddresses } from './sysctl.ts'
import { messageOf } from '../log.ts'
import { uninstallDatapath } from './uninstall.ts'

/** The datapath once its programs are loaded and attached; made by openDatapath. */
export class LoadedDatapath implements Datapath {
  readonly ring: Datapath['ring']
  /** Sizes of the programs, for logs. */
  readonly programInfo: ProgramInfo[]
  readonly notes: readonly string[]
  private readonly config: DatapathConfig
  private readonly maps: ReadonlyMap<string, BpfMap>
  private readonly programs: Programs
  /** The object routes by the underlay instead of the tunnel: a seeded fault. */
  private readonly plainRouting: boolean
  private readonly endpoints: EndpointMaps
  private readonly policies: PolicyMap
  private readonly services: ServiceMaps
  private readonly tunnels: TunnelMap
  private readonly ipcache: IPCacheMap
  private readonly cidrs: CIDRMap
  private readonly conntrack: BpfMap
  private readonly prefilter: PrefilterProgram | undefined
  private readonly proxied: ProxyMap
  private readonly conntrack6: BpfMap
  private readonly reader: PerfReader
  private readonly listeners = new Set<(event: RawEvent) => void>()
  /** How many connections the last sweep left. */
  private readonly swept = new Map<string, number>()
  private closed = false
  /** Attaches the programs; undefined once they are. */
  private pending: (() => void) | undefined

  constructor(config: DatapathConfig, maps: ReadonlyMap<string, BpfMap>, programs: Programs, { options, notes, attach }: { options: string[]; notes: string[]; attach: () => void }) {
    this.config = config
    this.maps = maps
    this.programs = programs
    this.programInfo = programs.info
    this.notes = notes
    this.pending = attach
    this.plainRouting = options.includes('plain-routing')
    this.endpoints = new EndpointMaps(this.map('cilium_lxc'), this.map('cilium_lxc_if'), this.map('cilium_lxc6'))
    this.policies = new PolicyMap(this.map('cilium_policy'))
    this.services = new ServiceMaps((name) => this.map(name))
    this.tunnels = new TunnelMap(this.map('cilium_tunnel_map'), parsePrefix(config.podCIDR).bits, this.map('cilium_tunnel_map6'))
    this.ipcache = new IPCacheMap(this.map('cilium_ipcache'), this.map('cilium_ipcache6'))
    this.cidrs = new CIDRMap({ prefixes: this.map('cilium_cidr'), config: this.map('cilium_config'), prefixes6: this.map('cilium_cidr6'), lengths6: this.map('cilium_cidr6_lengths') })
    this.conntrack = this.map('cilium_ct4_global')
    this.prefilter = config.prefilter === undefined ? undefined : new PrefilterProgram(config.prefilter, maps, pinFolder(config.bpffs))
    this.conntrack6 = this.map('cilium_ct6_global')
    this.proxied = new ProxyMap({ map: this.map('cilium_proxy4'), conntrack: this.conntrack }, { map: this.map('cilium_proxy6'), conntrack: this.conntrack6 })
    this.reader = new PerfReader(this.map('cilium_events'), config.monitorPages, (event) => { for (const listener of this.listeners) listener(event) })
    this.ring = { cpus: this.reader.cpus, pages: config.monitorPages, pageSize: PAGE_SIZE }
  }

  private map(name: string): BpfMap {
    const map = this.maps.get(name)
    if (map === undefined) throw new DatapathError(`the BPF object has no map ${name}: it is of another version`)
    return map
  }

  onEvent(listener: (event: RawEvent) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  attach(): void {
    const attach = this.pending
    this.pending = undefined
    attach?.()
  }

  private get program(): { name: string; fd: number } {
    return this.programs.entry('from_container')
  }

  addEndpoint(spec: EndpointSpec): EndpointLink {
    checkEndpointId(spec.id)
    const link = connectEndpoint(spec, { mtu: this.config.mtu, routerIPv4: this.config.routerIPv4, routerIPv6: this.config.ipv6?.router, program: this.program })
    this.register(spec, link)
    return link
  }

  adoptEndpoint(spec: AdoptedEndpoint): EndpointLink | undefined {
    checkEndpointId(spec.id)
    const near = withNetlink((netlink) => getLink(netlink, spec.hostInterface))
    const known = this.endpoints.pods().find((entry) => entry.ifindex === near?.ifindex && entry.nodeMac === near.mac)
    const mac = known?.mac ?? (near && farMac(spec, near))
    if (near === undefined || mac === undefined) {
      this.removeEndpoint(spec.id)
      return undefined
    }
    const link = { hostInterface: near.name, ifindex: near.ifindex, mac, nodeMac: near.mac }
    this.register(spec, link)
    if (this.pending === undefined) attachEndpoint(link.ifindex, this.program)
    return link
  }

  private register(spec: { id: number; ipv4: string; ipv6?: string; identity: number }, link: EndpointLink): void {
    const old = this.endpoints.pods().filter((entry) => entry.id === spec.id || entry.ip === spec.ipv4 || (spec.ipv6 !== undefined && entry.ipv6 === spec.ipv6) || entry.ifindex === link.ifindex)
    for (const entry of old) if (entry.ip !== spec.ipv4 || entry.ipv6 !== spec.ipv6 || entry.ifindex !== link.ifindex) this.endpoints.delete(entry)
    const flags = old.find((entry) => entry.id === spec.id)?.flags ?? 0
    this.endpoints.set({ ip: spec.ipv4, ...(spec.ipv6 === undefined ? {} : { ipv6: spec.ipv6 }), id: spec.id, ifindex: link.ifindex, flags, identity: spec.identity, mac: link.mac, nodeMac: link.nodeMac })
  }

  inspectEndpoint(spec: Pick<EndpointSpec, 'netns' | 'containerInterface' | 'hostInterface'>): InspectedEndpoint {
    return inspectEndpoint(spec)
  }

  removeEndpoint(id: number): void {
    const entry = this.endpoints.find(id)
    if (entry !== undefined) {
      disconnectEndpoint(entry)
      this.endpoints.delete(entry)
      forgetAddress(this.conntrack, entry.ip)
      if (entry.ipv6 !== undefined) forgetAddress(this.conntrack6, entry.ipv6)
    }
    this.policies.deleteEndpoint(id)
  }

  private update(id: number, change: (entry: EndpointEntry) => EndpointEntry): void {
    const entry = this.endpoints.find(id)
    if (entry === undefined) throw new DatapathError(`endpoint ${id} is not in the endpoint map: delete its pod, so that another is made`)
    this.endpoints.set(change(entry))
  }

  setEndpointIdentity(id: number, identity: number): void {
    this.update(id, (entry) => ({ ...entry, identity }))
  }

  setPolicy(id: number, policy: { ingress?: PolicyAllow[]; egress?: PolicyAllow[] }): void {
    const problems: string[] = []
    for (const [direction, flag] of [['ingress', ENDPOINT_FLAG.enforceIngress], ['egress', ENDPOINT_FLAG.enforceEgress]] as const) {
      try { this.setDirection(id, direction, flag, policy[direction]) } catch (error) { problems.push(messageOf(error)) }
    }
    if (problems.length > 0) throw new DatapathError([...new Set(problems)].join('; '))
  }

  private setDirection(id: number, direction: 'ingress' | 'egress', flag: number, allows: PolicyAllow[] | undefined): void {
    const enforce = (on: boolean): void => this.update(id, (entry) => ({ ...entry, flags: on ? entry.flags | flag : entry.flags & ~flag }))
    if (allows === undefined) enforce(false)
    try { this.policies.replace(id, direction, allows ?? []) } finally { if (allows !== undefined) enforce(true) }
  }

  upsertIPCache(ip: string, entry: { identity: number; node?: string }): void {
    this.ipcache.upsert(ip, entry)
  }

  deleteIPCache(ip: string): void {
    this.ipcache.delete(ip)
  }

  upsertCIDR(prefix: string, identity: number): void {
    this.cidrs.upsert(prefix, identity)
  }

  deleteCIDR(prefix: string): void {
    this.cidrs.delete(prefix)
  }

  listCIDRs(): { prefix: string; identity: number }[] {
    return this.cidrs.list()
  }

  upsertTunnel(entry: TunnelEntry): void {
    this.tunnels.upsert(entry)
    if (this.plainRouting && !isIPv6(entry.prefix)) withNetlink((netlink) => setRoute(netlink, this.plainRoute(entry, requireLink(netlink, this.config.nodeDevice))))
  }

  deleteTunnel(prefix: string): void {
    const entry = this.tunnels.delete(prefix)
    if (this.plainRouting && entry !== undefined && !isIPv6(prefix))
      withNetlink((netlink) => deleteRoute(netlink, this.plainRoute(entry, requireLink(netlink, this.config.nodeDevice))))
  }

  private plainRoute({ prefix, node }: TunnelEntry, link: Route['link']): Route {
    return { prefix, link, via: node }
  }

  upsertService(service: ServiceSpec): void {
    this.services.upsert(service)
  }

  deleteService(frontend: ServiceSpec['frontend']): void {
    this.services.delete(frontend)
  }

  listTunnels(): TunnelEntry[] {
    return this.tunnels.list()
  }

  listServices(): ServiceSpec[] {
    return this.services.list()
  }

  listIPCache(): { ip: string; identity: number; node?: string }[] {
    return this.ipcache.list()
  }

  listConntrack(): ConntrackEntry[] {
    return [...listConntrack(this.conntrack), ...listConntrack(this.conntrack6)]
  }

  listEndpoints(): ReturnType<Datapath['listEndpoints']> {
    return [...this.endpoints.list(), ...this.endpoints.list6()].map(({ ip, id, ifindex, mac, nodeMac, identity }) => ({ ip, id, ifindex, mac, nodeMac, identity }))
  }

  listPolicy(id: number): ReturnType<Datapath['listPolicy']> {
    return this.policies.list(id)
  }

  listMaps(): MapFill[] {
    return [...this.maps.values()].filter(({ shape: { type } }) => type === MAP_TYPE.hash || type === MAP_TYPE.perCpuHash)
      .map((map) => ({ name: map.name, entries: this.swept.get(map.name) ?? map.keys().length, capacity: map.shape.maxEntries })).sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async collectConntrack(): Promise<ConntrackSweep[]> {
    const stopped = (): boolean => this.closed
    const sweeps = [await sweepConntrack('ipv4', this.conntrack, stopped), await sweepConntrack('ipv6', this.conntrack6, stopped)]
    if (stopped()) return sweeps
    for (const { table, alive } of sweeps) this.swept.set(table, alive.tcp + alive.other)
    this.services.collectAffinities()
    this.proxied.collect()
    return sweeps
  }

  listenForProxy(port: number): number {
    return listenOn(DEVICE.host, port, this.config.ipv6 !== undefined)
  }

  proxyOrigin(client: Socket, proxy: Socket): ProxyOrigin | undefined {
    return this.proxied.origin(client, proxy)
  }

  connectForProxy(server: Socket, identity: number, direction: 'ingress' | 'egress'): net.Socket {
    return connectMarked(server, identity, direction)
  }

  metrics(): ReturnType<Datapath['metrics']> {
    const count = cpus('possible').length
    return this.map('cilium_metrics').entries().map(([key, value]) => {
      const sum = (offset: number): number =>
        Array.from({ length: count }, (_, cpu) => Number(value.readBigUInt64LE(cpu * 16 + offset))).reduce((a, b) => a + b, 0)
      return { reason: key.readUInt8(0), direction: key.readUInt8(1) === 1 ? 'ingress' : 'egress', packets: sum(0), bytes: sum(8) }
    })
  }

  setPrefilter(prefixes: readonly string[]): void {
    if (this.prefilter === undefined) throw new DatapathError('the prefilter is off: set prefilter-device')
    this.prefilter.set(prefixes)
  }

  prefilterMode(): PrefilterMode | undefined {
    return this.prefilter?.mode
  }

  setDebug(on: boolean): void {
    const config = this.map('cilium_config').lookup(u32Key(0))
    if (config === undefined) return
    config.writeUInt32LE(on ? 1 : 0, 0)
    this.map('cilium_config').update(u32Key(0), config)
  }

  ping(ip: string, timeoutMs: number): Promise<number> {
    return ping(ip, timeoutMs)
  }

  /** Puts this generation of programs on the interfaces of endpoints that were there before. */
  attachKnownEndpoints(): void {
    const links = withNetlink(listLinks)
    for (const entry of this.endpoints.pods()) {
      const link = linkOf(entry, links)
      if (link === undefined) continue
      acceptOwnAddresses(link.name)
      attachEndpoint(link.ifindex, this.program)
    }
  }

  setHostAddresses(addresses: string[]): void {
    this.endpoints.setHostAddresses(addresses)
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    this.listeners.clear()
    this.reader.close()
    this.prefilter?.close()
    this.programs.close()
    for (const map of this.maps.values()) fs.closeSync(map.fd)
  }

  uninstall(): void {
    if (this.plainRouting && !this.closed) for (const { prefix } of this.listTunnels()) this.deleteTunnel(prefix)
    this.close()
    uninstallDatapath(this.config.bpffs, { prefilterDevice: this.config.prefilter?.device })
  }
}
