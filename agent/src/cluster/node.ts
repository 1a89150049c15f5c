import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import type { TunnelEntry } from '../datapath/types.ts'
import type { Node } from '../k8s/types.ts'
import { firstAddress } from './cidr.ts'

/** What the agent knows of the node it runs on. */
export interface LocalNode { name: string; ipv4: string; device: string; podCIDR: string; routerIPv4: string; mtu: number }

export const internalIP = (node: Node): string | undefined => node.status?.addresses?.find(({ type, address }) => type === 'InternalIP' && !address.includes(':'))?.address

/** Undefined while the Node lacks its pod CIDR or address. Throws when no interface has the address. */
export function localNode(node: Node): LocalNode | undefined {
  const [ipv4, podCIDR] = [internalIP(node), node.spec.podCIDR]
  if (ipv4 === undefined || podCIDR === undefined) return undefined
  const device = interfaceWith(ipv4)
  if (device === undefined) throw new Error(`no interface has this node's InternalIP ${ipv4}: start kubelet with --node-ip set to an address of this machine`)
  return { name: node.metadata.name, ipv4, device, podCIDR, routerIPv4: firstAddress(podCIDR), mtu: deviceMTU(device) - 50 }
}

function interfaceWith(ipv4: string): string | undefined {
  return Object.entries(networkInterfaces()).find(([, addresses]) => addresses?.some(({ address }) => address === ipv4))?.[0]
}

function deviceMTU(device: string): number {
  return Number(readFileSync(`/sys/class/net/${device}/mtu`, 'utf8'))
}

/** Every address of this machine but loopback's 127/8: they are all the host to pods. */
export function hostAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []).filter(({ family, address }) => family === 'IPv4' && !address.startsWith('127.')).map(({ address }) => address)
}

/** Tunnels to all other nodes that have a pod CIDR and an address. */
export function desiredTunnels(nodes: Node[], self: string): Map<string, TunnelEntry> {
  return new Map(nodes.flatMap((node): [string, TunnelEntry][] => {
    const [ip, prefix] = [internalIP(node), node.spec.podCIDR]
    return node.metadata.name === self || ip === undefined || prefix === undefined ? [] : [[prefix, { prefix, node: ip }]]
  }))
}
