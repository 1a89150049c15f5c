/** Local endpoints: their veth pairs, and their entries in the endpoint maps. */
import fs from 'node:fs'
import { addressBytes, ipv4Bytes, ipv4Text, ipv6Bytes, ipv6Text, isIPv6, randomMac } from './address.ts'
import type { BpfMap } from './bpf.ts'
import { DatapathError } from './errors.ts'
import { ENDPOINT_FLAG, decodeEndpoint, encodeEndpoint, u32Key, type EndpointValue } from './layouts.ts'
import { inNetns, withNetns } from './netns.ts'
import { addAddress, addressesOf, addVeth, deleteLink, getLink, listLinks, requireLink, routesBy, setFilter, setNeighbour, setRoute, setUp, withNetlink, type Link } from './rtnetlink.ts'
import { enableIPv6 } from './ipv6.ts'
import { acceptOwnAddresses, disableIPv6, disableReversePathFilter } from './sysctl.ts'
import type { EndpointLink, EndpointSpec, InspectedEndpoint } from './types.ts'

export interface EndpointEntry extends EndpointValue { ip: string; ipv6?: string }

/** cilium_lxc, and beside it cilium_lxc_if, and cilium_lxc6, whose entries are those of cilium_lxc once more. */
export class EndpointMaps {
  private readonly byAddress: BpfMap
  private readonly byInterface: BpfMap

  private readonly byAddress6: BpfMap | undefined

  /** `byAddress6` is absent where an earlier version of the agent has left the maps. */
  constructor(byAddress: BpfMap, byInterface: BpfMap, byAddress6?: BpfMap) {
    this.byAddress = byAddress
    this.byInterface = byInterface
    this.byAddress6 = byAddress6
  }

  list(): EndpointEntry[] {
    const six = new Map(this.list6().map(({ ip, id }) => [id, ip]))
    return this.byAddress.entries().map(([key, value]) => {
      const entry = decodeEndpoint(value)
      const ipv6 = entry.id === 0 ? undefined : six.get(entry.id)
      return { ip: ipv4Text(key), ...entry, ...(ipv6 === undefined ? {} : { ipv6 }) }
    })
  }

  /** By IPv6 address, the host's own too. */
  list6(): (EndpointValue & { ip: string })[] {
    return (this.byAddress6?.entries() ?? []).map(([key, value]) => ({ ip: ipv6Text(key), ...decodeEndpoint(value) }))
  }

  /** Endpoints that are pods. */
  pods(): EndpointEntry[] {
    return this.list().filter(({ flags }) => (flags & ENDPOINT_FLAG.host) === 0)
  }

  find(id: number): EndpointEntry | undefined {
    return this.pods().find((endpoint) => endpoint.id === id)
  }

  set({ ip, ipv6, ...value }: EndpointEntry): void {
    if (ipv6 !== undefined) this.byAddress6?.update(ipv6Bytes(ipv6), encodeEndpoint(value))
    this.byAddress.update(ipv4Bytes(ip), encodeEndpoint(value))
    if (value.ifindex !== 0) this.byInterface.update(u32Key(value.ifindex), ipv4Bytes(ip))
  }

  delete({ ip, ipv6, ifindex }: EndpointEntry): void {
    this.byInterface.delete(u32Key(ifindex))
    if (ipv6 !== undefined) this.byAddress6?.delete(ipv6Bytes(ipv6))
    this.byAddress.delete(ipv4Bytes(ip))
  }

  /** Makes `addresses` the host's own. */
  setHostAddresses(addresses: string[]): void {
    for (const { flags, ip } of [...this.list(), ...this.list6()])
      if ((flags & ENDPOINT_FLAG.host) !== 0 && !addresses.includes(ip)) this.mapOf(ip)?.delete(addressBytes(ip))
    const mac = '00:00:00:00:00:00'
    const host = encodeEndpoint({ id: 0, ifindex: 0, flags: ENDPOINT_FLAG.host, identity: 1, mac, nodeMac: mac })
    for (const ip of addresses) this.mapOf(ip)?.update(addressBytes(ip), host)
  }

  private mapOf(ip: string): BpfMap | undefined {
    return isIPv6(ip) ? this.byAddress6 : this.byAddress
  }
}

export interface LinkSettings { mtu: number; routerIPv4: string; routerIPv6?: string | undefined; program: { name: string; fd: number } }

/** Makes or completes the veth pair of an endpoint and configures both ends. */
export function connectEndpoint(spec: EndpointSpec, settings: LinkSettings): EndpointLink {
  return withNetns(spec.netns, (netns) => withNetlink((netlink) => {
    const farEnd = (): Link | undefined => inNetns(netns, () => withNetlink((inside) => getLink(inside, spec.containerInterface)))
    const stale = getLink(netlink, spec.hostInterface)
    if (stale !== undefined && farEnd() === undefined) deleteLink(netlink, stale.ifindex)
    if (getLink(netlink, spec.hostInterface) === undefined) {
      addVeth(netlink, { name: spec.hostInterface, mac: randomMac(), mtu: settings.mtu },
        { name: spec.containerInterface, mac: randomMac(), mtu: settings.mtu, netns })
    }
    const near = requireLink(netlink, spec.hostInterface)
    const far = inNetns(netns, () => withNetlink((inside) => {
      const six = spec.ipv6 !== undefined && settings.routerIPv6 !== undefined ? { address: spec.ipv6, router: settings.routerIPv6 } : undefined
      if (six === undefined) disableIPv6(spec.containerInterface)
      const link = requireLink(inside, spec.containerInterface)
      setUp(inside, requireLink(inside, 'lo'))
      if (six !== undefined) enableIPv6(inside, link)
      setUp(inside, link, { mtu: settings.mtu })
      if (six !== undefined) {
        addAddress(inside, link, six.address)
        setRoute(inside, { prefix: `${six.router}/128`, link })
        setRoute(inside, { prefix: '::/0', link, via: six.router })
        // Linux asks a router that it knows again from its link-local address, of which pods have none: the entry would fail, and connections with it.
        setNeighbour(inside, link, six.router, near.mac)
      }
      addAddress(inside, link, spec.ipv4)
      setRoute(inside, { prefix: `${settings.routerIPv4}/32`, link })
      setRoute(inside, { prefix: '0.0.0.0/0', link, via: settings.routerIPv4 })
      return link
    }))
    if (spec.ipv6 === undefined) disableIPv6(near.name)
    else enableIPv6(netlink, near)
    disableReversePathFilter(near.name)
    acceptOwnAddresses(near.name)
    // Before it is up: nothing may pass unseen. The program drops until the endpoint is in its maps.
    setFilter(netlink, near.ifindex, 'ingress', settings.program)
    setUp(netlink, near)
    return { hostInterface: near.name, ifindex: near.ifindex, mac: far.mac, nodeMac: near.mac }
  }))
}

/** Both ends as they are now. Throws when the namespace is gone. */
export function inspectEndpoint(spec: Pick<EndpointSpec, 'netns' | 'containerInterface' | 'hostInterface'>): InspectedEndpoint {
  const container = withNetns(spec.netns, (netns) => inNetns(netns, () => withNetlink((inside) => {
    const link = getLink(inside, spec.containerInterface)
    return link && { mac: link.mac, up: link.up, addresses: addressesOf(inside, link), routes: routesBy(inside, link) }
  })))
  const host = withNetlink((netlink) => getLink(netlink, spec.hostInterface))
  return { host: host && { mac: host.mac, up: host.up }, container }
}

/** The MAC of a pair's end in the container; undefined where there is no way to see it. */
export function farMac({ netns: path, containerInterface }: Partial<Pick<EndpointSpec, 'netns' | 'containerInterface'>>, near: Link): string | undefined {
  if (path === undefined || containerInterface === undefined || !fs.existsSync(path)) return undefined
  const far = withNetns(path, (netns) => inNetns(netns, () => withNetlink((inside) => getLink(inside, containerInterface))))
  return far?.peer === near.ifindex ? far.mac : undefined
}

/** Attaches the program to an endpoint's interface, in place of an older one. */
export function attachEndpoint(ifindex: number, program: { name: string; fd: number }): void {
  withNetlink((netlink) => setFilter(netlink, ifindex, 'ingress', program))
}

/** The interface of an entry, told by index and MAC: indexes come again. */
export function linkOf(entry: EndpointEntry, links: Link[]): Link | undefined {
  return links.find((link) => link.ifindex === entry.ifindex && link.mac === entry.nodeMac)
}

export function disconnectEndpoint(entry: EndpointEntry): void {
  withNetlink((netlink) => {
    const link = linkOf(entry, listLinks(netlink))
    if (link !== undefined) deleteLink(netlink, link.ifindex)
  })
}

/** Endpoint ids are 16 bits in events and keys. */
export function checkEndpointId(id: number): void {
  if (!Number.isInteger(id) || id < 1 || id > 65535) throw new DatapathError(`endpoint id ${id} is out of range; 1 to 65535 are possible`)
}
