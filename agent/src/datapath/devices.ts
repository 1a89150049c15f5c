/** The node's own devices: the cilium_host/cilium_net pair, through which the host reaches pods and services, and the overlay. */
import { randomMac } from './address.ts'
import { addAddress, addVeth, addVxlan, deleteFilter, deleteLink, getLink, requireLink, setFilter, setRoute, setUp, withNetlink, type Link } from './rtnetlink.ts'
import { acceptOwnAddresses, disableIPv6, disableReversePathFilter, setSysctl } from './sysctl.ts'
import type { Netlink } from './netlink.ts'
import type { DatapathConfig } from './types.ts'

export const DEVICE = { host: 'cilium_host', peer: 'cilium_net', overlay: 'cilium_vxlan' } as const
/** Who a host process sees when it reaches itself through a service; LOOPBACK_ADDR in agent/bpf/lib/net.h. */
const LOOPBACK_ADDRESS = '169.254.42.1'
/** Where redirected connections go: PROXY_NET in agent/bpf/lib/proxy.h. Its route goes with the device. */
const PROXY_PREFIX = '169.254.64.0/18'

export interface NodeDevices { host: Link; overlay: Link }

function ensureHostPair(netlink: Netlink, mtu: number): Link {
  if (getLink(netlink, DEVICE.host) === undefined) {
    addVeth(netlink, { name: DEVICE.host, mac: randomMac(), mtu }, { name: DEVICE.peer, mac: randomMac(), mtu })
  }
  const link = requireLink(netlink, DEVICE.host)
  for (const device of [link, requireLink(netlink, DEVICE.peer)]) {
    prepare(device.name)
    setUp(netlink, device, { noArp: true, mtu })
  }
  return link
}

function ensureOverlay(netlink: Netlink, port: number, mtu: number): Link {
  const found = getLink(netlink, DEVICE.overlay)
  if (found !== undefined && (found.kind !== 'vxlan' || found.vxlanPort !== port)) deleteLink(netlink, found.ifindex)
  if (getLink(netlink, DEVICE.overlay) === undefined) addVxlan(netlink, DEVICE.overlay, port, mtu)
  const link = requireLink(netlink, DEVICE.overlay)
  prepare(link.name)
  setUp(netlink, link, { mtu })
  return link
}

function prepare(device: string): void {
  disableIPv6(device)
  disableReversePathFilter(device)
  acceptOwnAddresses(device)
}

/** Makes what isn't there, and brings what is to the configuration. */
export function ensureDevices(config: DatapathConfig): NodeDevices {
  return withNetlink((netlink) => {
    setSysctl('ipv4/ip_forward', '1')
    disableReversePathFilter('all')
    disableReversePathFilter('default')
    const host = ensureHostPair(netlink, config.mtu)
    addAddress(netlink, host, config.routerIPv4)
    const source = config.routerIPv4
    for (const prefix of new Set([config.podCIDR, config.clusterCIDR, config.serviceCIDR])) setRoute(netlink, { prefix, link: host, source })
    setRoute(netlink, { prefix: `${LOOPBACK_ADDRESS}/32`, link: host })
    setRoute(netlink, { prefix: PROXY_PREFIX, link: host, local: true })
    return { host, overlay: ensureOverlay(netlink, config.vxlanPort, config.mtu) }
  })
}

/** Where clients outside ask for services at this node's addresses, and where this node itself does. */
const nodeHooks = (device: string): [device: string, direction: 'ingress' | 'egress'][] => [[device, 'ingress'], ['lo', 'egress']]

export function attachNode(device: string, program: { name: string; fd: number }): void {
  withNetlink((netlink) => {
    for (const [name, direction] of nodeHooks(device)) setFilter(netlink, requireLink(netlink, name).ifindex, direction, program)
  })
}

/** The qdisc stays: others may have programs there. */
export function detachNode(device: string): void {
  withNetlink((netlink) => {
    for (const [name, direction] of nodeHooks(device)) {
      const link = getLink(netlink, name)
      if (link !== undefined) deleteFilter(netlink, link.ifindex, direction)
    }
  })
}

export function removeDevices(netlink: Netlink): void {
  for (const name of [DEVICE.host, DEVICE.peer, DEVICE.overlay]) {
    const link = getLink(netlink, name)
    if (link !== undefined) deleteLink(netlink, link.ifindex)
  }
}
