import { reserved } from '../identity/reserved.ts'
import type { Node } from '../k8s/types.ts'
import { firstAddress } from './cidr.ts'
import { router6 } from './ipv6.ts'
import { internalIP, type LocalNode } from './node.ts'

export interface IPCacheEntry { ip: string; identity: number; node?: string }

/**
 * Which identity every known address has, and behind which node it is. Hosts are identity 1 on every node, as in Cilium 1.2; local
 * endpoints overrule what the cluster says of their addresses, of which the last counts.
 */
export function desiredIPCache(input: { self: LocalNode; hostAddresses: string[]; nodes: Node[]; remote: (IPCacheEntry & { node: string })[]; local: { ipv4: string; ipv6?: string | undefined; identity: number }[] }): Map<string, IPCacheEntry> {
  const { self, hostAddresses, nodes, remote, local } = input
  const entries = new Map<string, IPCacheEntry>()
  const set = (entry: IPCacheEntry) => entries.set(entry.ip, entry)
  for (const node of nodes) {
    const [ip, podCIDR] = [internalIP(node), node.spec.podCIDR]
    if (node.metadata.name === self.name || ip === undefined) continue
    set({ ip, identity: reserved.host })
    if (podCIDR === undefined) continue
    set({ ip: firstAddress(podCIDR), identity: reserved.host, node: ip })
    if (self.ipv6 !== undefined) set({ ip: router6(self.ipv6.clusterCIDR, podCIDR), identity: reserved.host, node: ip })
  }
  for (const { ip, identity, node } of remote) if (!ip.includes(':') || self.ipv6 !== undefined) set({ ip, identity, node })
  for (const { ipv4, ipv6, identity } of local) for (const ip of [ipv4, ipv6]) if (ip !== undefined) set({ ip, identity })
  for (const ip of [...hostAddresses, self.ipv4, self.routerIPv4, ...(self.ipv6 === undefined ? [] : [self.ipv6.router])]) set({ ip, identity: reserved.host })
  return entries
}
