/** The node's own devices: the cilium_host/cilium_net pair, through which the host reaches pods and services, and the overlay. */
import { hasFault } from '../fault.ts'
import { ipv6Text, parsePrefix6, randomMac } from './address.ts'
import { addAddress, addTunnel, addVeth, deleteLink, getLink, requireLink, setFilter, setRoute, setUp, withNetlink, type Link } from './rtnetlink.ts'
import { enableIPv6, forwardIPv6 } from './ipv6.ts'
import { acceptOwnAddresses, disableIPv6, disableReversePathFilter, setSysctl } from './sysctl.ts'
import type { Netlink } from './netlink.ts'
import type { DatapathConfig, TunnelKind } from './types.ts'

export const DEVICE = { host: 'cilium_host', peer: 'cilium_net' } as const
/** One of them is there. */
const OVERLAY: Readonly<Record<TunnelKind, string>> = { vxlan: 'cilium_vxlan', geneve: 'cilium_geneve' }
/** Who a host process sees when it reaches itself through a service; LOOPBACK_ADDR in agent/bpf/lib/net.h. */
const LOOPBACK_ADDRESS = '169.254.42.1'
/** Where redirected connections go: PROXY_NET in agent/bpf/lib/proxy.h. Its route goes with the device. */
const PROXY_PREFIX = '169.254.64.0/18'

/** The same of IPv6, a part of the node's own /96: PROXY_SERVERS in agent/bpf/lib/proxy6.h. */
export function proxyPrefix6(podCIDR: string): string {
  const address = Buffer.from(parsePrefix6(podCIDR).address)
  address.writeUInt32BE(0x4000_0000, 12)
  return `${ipv6Text(address)}/98`
}

export interface NodeDevices { host: Link; overlay: Link }

function ensureHostPair(netlink: Netlink, mtu: number, six: boolean): Link {
  if (getLink(netlink, DEVICE.host) === undefined) {
    addVeth(netlink, { name: DEVICE.host, mac: randomMac(), mtu }, { name: DEVICE.peer, mac: randomMac(), mtu })
  }
  const link = requireLink(netlink, DEVICE.host)
  for (const device of [link, requireLink(netlink, DEVICE.peer)]) {
    prepare(netlink, device, six)
    setUp(netlink, device, { noArp: true, mtu })
  }
  return link
}

/** The other kind's device goes: it is of an agent that was set otherwise. */
function ensureOverlay(netlink: Netlink, kind: TunnelKind, port: number, mtu: number, six: boolean): Link {
  const name = OVERLAY[kind]
  for (const link of Object.values(OVERLAY).flatMap((each) => getLink(netlink, each) ?? []))
    if (link.name !== name || link.kind !== kind || link.tunnelPort !== port) deleteLink(netlink, link.ifindex)
  if (getLink(netlink, name) === undefined) addTunnel(netlink, kind, name, port, mtu)
  const link = requireLink(netlink, name)
  prepare(netlink, link, six)
  setUp(netlink, link, { mtu })
  return link
}

function prepare(netlink: Netlink, link: Link, six: boolean): void {
  if (six) enableIPv6(netlink, link)
  else disableIPv6(link.name)
  disableReversePathFilter(link.name)
  acceptOwnAddresses(link.name)
}

/** Makes what isn't there, and brings what is to the configuration. */
export function ensureDevices(config: DatapathConfig): NodeDevices {
  return withNetlink((netlink) => {
    setSysctl('ipv4/ip_forward', '1')
    disableReversePathFilter('all')
    disableReversePathFilter('default')
    const six = config.ipv6 !== undefined
    const host = ensureHostPair(netlink, config.mtu, six)
    addAddress(netlink, host, config.routerIPv4)
    const source = config.routerIPv4
    for (const prefix of new Set([config.podCIDR, config.clusterCIDR, config.serviceCIDR])) setRoute(netlink, { prefix, link: host, source })
    setRoute(netlink, { prefix: `${LOOPBACK_ADDRESS}/32`, link: host })
    setRoute(netlink, { prefix: PROXY_PREFIX, link: host, local: true })
    if (config.ipv6 !== undefined) {
      forwardIPv6()
      addAddress(netlink, host, config.ipv6.router)
      for (const prefix of [config.ipv6.clusterCIDR, config.ipv6.serviceCIDR]) setRoute(netlink, { prefix, link: host, source: config.ipv6.router })
      setRoute(netlink, { prefix: proxyPrefix6(config.ipv6.podCIDR), link: host, local: true })
    }
    return { host, overlay: ensureOverlay(netlink, hasFault('ignores-tunnel-option') ? 'vxlan' : config.tunnel, config.tunnelPort, config.mtu, six) }
  })
}

/** Where clients outside ask for services at this node's addresses, and where this node itself does. */
const nodeHooks = (device: string): [device: string, direction: 'ingress' | 'egress'][] => [[device, 'ingress'], ['lo', 'egress']]

export function attachNode(device: string, program: { name: string; fd: number }): void {
  withNetlink((netlink) => {
    for (const [name, direction] of nodeHooks(device)) setFilter(netlink, requireLink(netlink, name).ifindex, direction, program)
  })
}

export function removeDevices(netlink: Netlink): void {
  for (const name of [DEVICE.host, DEVICE.peer, ...Object.values(OVERLAY)]) {
    const link = getLink(netlink, name)
    if (link !== undefined) deleteLink(netlink, link.ifindex)
  }
}
