import { existsSync } from 'node:fs'
import ipaddr from 'ipaddr.js'
import { range, toNumber } from './cidr.ts'

/**
 * A node's IPv6 addresses follow from its IPv4 pod CIDR, as they do in Cilium when no range is given: the cluster's /64, the pod CIDR's address, then the
 * pod's number in it. So every agent knows them of every node, nothing has to be handed out or told, and a pod has IPv6 as soon as it has IPv4.
 */
export function nodeCIDR6(clusterCIDR6: string, podCIDR: string): string {
  return `${address(clusterCIDR6, podCIDR, 0)}/96`
}

export const router6 = (clusterCIDR6: string, podCIDR: string): string => address(clusterCIDR6, podCIDR, 1)

/** Of the pod with an IPv4 address of the pod CIDR. */
export const podIPv6 = (clusterCIDR6: string, podCIDR: string, ipv4: string): string => address(clusterCIDR6, podCIDR, toNumber(ipv4) - range(podCIDR).first)

function address(clusterCIDR6: string, podCIDR: string, number: number): string {
  const bytes = ipaddr.IPv6.networkAddressFromCIDR(clusterCIDR6).toByteArray()
  const tail = [range(podCIDR).first, number].flatMap((value) => [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256))
  return new ipaddr.IPv6([...bytes.slice(0, 8), ...tail]).toRFC5952String()
}

/** Throws with what is wrong. */
export function checkClusterCIDR6(cidr: string): void {
  if (!ipaddr.IPv6.isValidCIDR(cidr) || ipaddr.IPv6.parseCIDR(cidr)[1] !== 64) throw new Error('not an IPv6 prefix of 64 bits such as f00d::/64')
}

/** Whether the kernel has IPv6: it has not without CONFIG_IPV6, nor with ipv6.disable=1. */
export const kernelHasIPv6 = (): boolean => existsSync('/proc/sys/net/ipv6/conf/all/forwarding')
