/** What every cluster of ours has, and somebody else's may lack. */
export const clusterNeeds = {
  wire: 'captures of all that nodes send to each other',
  'node:exec': 'commands as root on the nodes',
  'node:network': 'packets from the nodes themselves',
  'node:features': 'what the kernel of each node can do, tried there',
  'node:ssh-server': 'a server on each node that greets on port 22',
  'dual-stack': 'services with cluster IPs of IPv6',
  'dns-address': 'the address that pods ask for names, with nothing there yet',
  etcd: 'an etcd of the agent that can be taken away',
  'own-agent': 'an agent whose installation may be changed',
} as const

export type ClusterNeed = keyof typeof clusterNeeds

/** In words why not. */
export type Lacks = Readonly<Partial<Record<ClusterNeed, string>>>

export const isClusterNeed = (name: string): name is ClusterNeed => Object.hasOwn(clusterNeeds, name)

/** Why a test that needs these is not for this cluster; undefined when it has them all. */
export function missingReason(needs: readonly string[], lacks: Lacks = {}): string | undefined {
  const reasons = needs.filter(isClusterNeed).flatMap((name) => (lacks[name] === undefined ? [] : [`needs ${clusterNeeds[name]}: ${lacks[name]}`]))
  return reasons.length ? reasons.join('; ') : undefined
}
