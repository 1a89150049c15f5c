/** Local endpoints: their veth pairs, and their entries in the endpoint maps. */
import fs from 'node:fs'
import { ipv4Bytes, ipv4Text, randomMac } from './address.ts'
import type { BpfMap } from './bpf.ts'
import { DatapathError } from './errors.ts'
import { ENDPOINT_FLAG, decodeEndpoint, encodeEndpoint, u32Key, type EndpointValue } from './layouts.ts'
import { inNetns, openNetns } from './netns.ts'
import { addAddress, addVeth, deleteLink, getLink, listLinks, requireLink, setFilter, setRoute, setUp, withNetlink, type Link } from './rtnetlink.ts'
import { acceptOwnAddresses, disableIPv6, disableReversePathFilter } from './sysctl.ts'
import type { EndpointLink, EndpointSpec } from './types.ts'

export interface EndpointEntry extends EndpointValue { ip: string }

/** cilium_lxc, and cilium_lxc_if beside it. */
export class EndpointMaps {
  private readonly byAddress: BpfMap
  private readonly byInterface: BpfMap

  constructor(byAddress: BpfMap, byInterface: BpfMap) {
    this.byAddress = byAddress
    this.byInterface = byInterface
  }

  list(): EndpointEntry[] {
    return this.byAddress.entries().map(([key, value]) => ({ ip: ipv4Text(key), ...decodeEndpoint(value) }))
  }

  /** Endpoints that are pods. */
  pods(): EndpointEntry[] {
    return this.list().filter(({ flags }) => (flags & ENDPOINT_FLAG.host) === 0)
  }

  find(id: number): EndpointEntry | undefined {
    return this.pods().find((endpoint) => endpoint.id === id)
  }

  set({ ip, ...value }: EndpointEntry): void {
    this.byAddress.update(ipv4Bytes(ip), encodeEndpoint(value))
    if (value.ifindex !== 0) this.byInterface.update(u32Key(value.ifindex), ipv4Bytes(ip))
  }

  delete({ ip, ifindex }: EndpointEntry): void {
    this.byInterface.delete(u32Key(ifindex))
    this.byAddress.delete(ipv4Bytes(ip))
  }

  /** Makes `addresses` the host's own. */
  setHostAddresses(addresses: string[]): void {
    for (const entry of this.list())
      if ((entry.flags & ENDPOINT_FLAG.host) !== 0 && !addresses.includes(entry.ip)) this.byAddress.delete(ipv4Bytes(entry.ip))
    const mac = '00:00:00:00:00:00'
    for (const ip of addresses) this.set({ ip, id: 0, ifindex: 0, flags: ENDPOINT_FLAG.host, identity: 1, mac, nodeMac: mac })
  }
}

export interface LinkSettings { mtu: number; routerIPv4: string; program: { name: string; fd: number } }

/** Makes or completes the veth pair of an endpoint and configures both ends. */
export function connectEndpoint(spec: EndpointSpec, settings: LinkSettings): EndpointLink {
  const netns = openNetns(spec.netns)
  try {
    return withNetlink((netlink) => {
      const farEnd = (): Link | undefined => inNetns(netns, () => withNetlink((inside) => getLink(inside, spec.containerInterface)))
      const stale = getLink(netlink, spec.hostInterface)
      if (stale !== undefined && farEnd() === undefined) deleteLink(netlink, stale.ifindex)
      if (getLink(netlink, spec.hostInterface) === undefined) {
        addVeth(netlink, { name: spec.hostInterface, mac: randomMac(), mtu: settings.mtu },
          { name: spec.containerInterface, mac: randomMac(), mtu: settings.mtu, netns })
      }
      const near = requireLink(netlink, spec.hostInterface)
      const far = inNetns(netns, () => withNetlink((inside) => {
        disableIPv6(spec.containerInterface)
        const link = requireLink(inside, spec.containerInterface)
        setUp(inside, requireLink(inside, 'lo'))
        setUp(inside, link, { mtu: settings.mtu })
        addAddress(inside, link, spec.ipv4)
        setRoute(inside, { prefix: `${settings.routerIPv4}/32`, link })
        setRoute(inside, { prefix: '0.0.0.0/0', link, via: settings.routerIPv4 })
        return link
      }))
      disableIPv6(near.name)
      disableReversePathFilter(near.name)
      acceptOwnAddresses(near.name)
      // Before it is up: nothing may pass unseen. The program drops until the endpoint is in its maps.
      setFilter(netlink, near.ifindex, 'ingress', settings.program)
      setUp(netlink, near)
      return { hostInterface: near.name, ifindex: near.ifindex, mac: far.mac, nodeMac: near.mac }
    })
  } finally {
    fs.closeSync(netns)
  }
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
