import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import type { TunnelEntry } from '../datapath/types.ts'
import type { Node } from '../k8s/types.ts'
import { hasFault } from '../fault.ts'
import { canonical, firstAddress } from './cidr.ts'
import { kernelHasIPv6, nodeCIDR6, router6 } from './ipv6.ts'

/** What the agent knows of the node it runs on. */
export interface LocalNode {
  name: string; ipv4: string; device: string; podCIDR: string; routerIPv4: string; mtu: number
  /** Absent: pods have no IPv6. */
  ipv6?: { clusterCIDR: string; serviceCIDR: string; podCIDR: string; router: string }
}

/** Ethernet, IPv4, UDP and VXLAN or Geneve (which lash gives no options) around a packet. */
const TUNNEL_OVERHEAD = 14 + 20 + 8 + 8
/** The least that IPv6 works with (RFC 8200). */
const LEAST_MTU6 = 1280

export const internalIP = (node: Node): string | undefined => node.status?.addresses?.find(({ type, address }) => type === 'InternalIP' && !address.includes(':'))?.address

/** Undefined while the Node lacks its pod CIDR or address. Throws when no interface has the address, or IPv6 is asked for and not to be had. */
export function localNode(node: Node, wanted: WantedIPv6): LocalNode | undefined {
  const [ipv4, podCIDR] = [internalIP(node), node.spec.podCIDR]
  if (ipv4 === undefined || podCIDR === undefined) return undefined
  const device = interfaceWith(ipv4)
  if (device === undefined) throw new Error(`no interface has this node's InternalIP ${ipv4}: start kubelet with --node-ip set to an address of this machine`)
  const mtu = deviceMTU(device) - (hasFault('wrong-mtu') ? 0 : TUNNEL_OVERHEAD)
  const lacks = !kernelHasIPv6() ? 'this kernel has no IPv6 (CONFIG_IPV6, or booted with ipv6.disable=1)' : mtu < LEAST_MTU6 ? `${device} leaves pods an MTU of ${mtu}, and IPv6 needs ${LEAST_MTU6}` : undefined
  if (lacks !== undefined && wanted.mode === 'true') throw new Error(`enable-ipv6=true: ${lacks}; set enable-ipv6 to false or auto`)
  const six = wanted.mode !== 'false' && lacks === undefined
  return { name: node.metadata.name, ipv4, device, podCIDR, routerIPv4: firstAddress(podCIDR), mtu, ...(six ? { ipv6: localIPv6(wanted, podCIDR) } : {}) }
}

/** What the agent was told of IPv6; `auto` is wherever the kernel has it. */
export interface WantedIPv6 { mode: 'auto' | 'true' | 'false'; clusterCIDR: string; serviceCIDR: string }

export const localIPv6 = ({ clusterCIDR, serviceCIDR }: Pick<WantedIPv6, 'clusterCIDR' | 'serviceCIDR'>, podCIDR: string): NonNullable<LocalNode['ipv6']> =>
  ({ clusterCIDR, serviceCIDR, podCIDR: nodeCIDR6(clusterCIDR, podCIDR), router: router6(clusterCIDR, podCIDR) })

/**
 * Where node ports are served, at every node: its InternalIPs, and of IPv6 its router's address, since nodes mostly have no IPv6 address that Kubernetes
 * knows of.
 */
export function nodePortAddresses(nodes: Node[], { ipv6 }: Pick<LocalNode, 'ipv6'>): string[] {
  return nodes.flatMap((node) => {
    const internal = (node.status?.addresses ?? []).filter(({ type }) => type === 'InternalIP').map(({ address }) => canonical(address))
    const four = internalIP(node), { podCIDR } = node.spec
    const six = ipv6 === undefined ? [] : [...internal.filter((ip) => ip.includes(':')), ...(podCIDR === undefined ? [] : [router6(ipv6.clusterCIDR, podCIDR)])]
    return [...(four === undefined ? [] : [four]), ...six]
  }).sort()
}

function interfaceWith(ipv4: string): string | undefined {
  return Object.entries(networkInterfaces()).find(([, addresses]) => addresses?.some(({ address }) => address === ipv4))?.[0]
}

function deviceMTU(device: string): number {
  return Number(readFileSync(`/sys/class/net/${device}/mtu`, 'utf8'))
}

/** Every address of this machine but loopback's and those of a link only: they are all the host to pods. */
export function hostAddresses({ ipv6 }: Pick<LocalNode, 'ipv6'>): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
    .filter(({ family, address }) => (family === 'IPv4' ? !address.startsWith('127.') : ipv6 !== undefined && address !== '::1' && !/^fe[89ab]/.test(address))).map(({ address }) => address)
}

/** Tunnels to all other nodes that have a pod CIDR and an address. */
export function desiredTunnels(nodes: Node[], self: Pick<LocalNode, 'name' | 'ipv6'>): Map<string, TunnelEntry> {
  return new Map(nodes.flatMap((node): [string, TunnelEntry][] => {
    const [ip, podCIDR] = [internalIP(node), node.spec.podCIDR]
    if (node.metadata.name === self.name || ip === undefined || podCIDR === undefined) return []
    const prefixes = [podCIDR, ...(self.ipv6 === undefined ? [] : [nodeCIDR6(self.ipv6.clusterCIDR, podCIDR)])]
    return prefixes.map((prefix) => [prefix, { prefix, node: ip }])
  }))
}
