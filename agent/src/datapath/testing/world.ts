/** The nodes and pods that integration tests of the datapath have. */
import { execFileSync } from 'node:child_process'
import path from 'node:path'
import type { DatapathConfig } from '../types.ts'
import { ipv6Of, Lab, type Agent, type LabNode, type Pod } from './lab.ts'

const bpf = path.join(import.meta.dirname, '../../../bpf')

/** Compiles the datapath, or another object of agent/bpf, into a folder, with a fault (as its define has it) if one is named; the object's path. */
export function compile(folder: string, fault?: string, name = 'lash'): string {
  const object = path.join(folder, `${name}${fault ?? ''}.o`)
  execFileSync('clang', ['-O2', '-target', 'bpf', '-mcpu=v1', '-Wall', '-Werror', '-I', bpf, ...(fault === undefined ? [] : [`-DFAULT_${fault}`]),
    '-c', path.join(bpf, `${name}.c`), '-o', object])
  return object
}

export interface World { lab: Lab; n1: LabNode; n2: LabNode; a1: Agent; a2: Agent; client: Pod; near: Pod; far: Pod; /** Namespace of the machine outside. */ outside: string }

/** What the control plane tells of the other node's IPv6. */
async function world6({ n1, n2, a1, a2, client, near, far }: Omit<World, 'lab' | 'outside'>): Promise<void> {
  await a1.call('upsertIPCache', far.ip6, { identity: far.identity, node: n2.config.nodeIPv4 })
  for (const pod of [client, near]) await a2.call('upsertIPCache', pod.ip6, { identity: pod.identity, node: n1.config.nodeIPv4 })
  for (const [agent, { config: { ipv6, nodeIPv4 } }] of [[a1, n2], [a2, n1]] as const) {
    await agent.call('upsertTunnel', { prefix: ipv6!.podCIDR, node: nodeIPv4 })
    await agent.call('upsertIPCache', ipv6!.router, { identity: 1, node: nodeIPv4 })
  }
}

/** Pods, the machine outside and the first host serve the web at a port. */
export async function serveWeb({ lab, n1, client, near, far, outside }: World, port: number): Promise<void> {
  await Promise.all([[client.netns, 'client'], [near.netns, 'near'], [far.netns, 'far'], [n1.netns, 'host1'], [outside, 'outside']].map(([netns, name]) => lab.helper(netns!, 'web', name!, String(port))))
}

/** `six` gives pods IPv6, `identity` is the client's. Two nodes; client and near on the first, far on the second; each pod and each host serves on port 8080. */
export async function world(objectFile: string, settings: Partial<DatapathConfig> & { six?: boolean; identity?: number } = {}): Promise<World> {
  const lab = new Lab()
  try {
    const { six = false, identity = 1010, ...config } = settings
    const [n1, n2] = [1, 2].map((number) => lab.node(number, objectFile, { ...config, ...(six ? { ipv6: ipv6Of(number) } : {}) })) as [LabNode, LabNode]
    const outside = lab.wire(n1, n2)
    const [a1, a2] = [await n1.start(), await n2.start()]
    const [client, near, far] = [await n1.addPod(10, identity), await n1.addPod(11, 1011), await n2.addPod(10, 2010)]
    await a1.call('upsertIPCache', far.ip, { identity: far.identity, node: n2.config.nodeIPv4 })
    for (const pod of [client, near]) await a2.call('upsertIPCache', pod.ip, { identity: pod.identity, node: n1.config.nodeIPv4 })
    if (six) await world6({ n1, n2, a1, a2, client, near, far })
    await a1.call('upsertTunnel', { prefix: n2.config.podCIDR, node: n2.config.nodeIPv4 })
    await a2.call('upsertTunnel', { prefix: n1.config.podCIDR, node: n1.config.nodeIPv4 })
    await Promise.all([[client.netns, 'client'], [near.netns, 'near'], [far.netns, 'far'], [n1.netns, 'host1'], [n2.netns, 'host2'], [outside, 'outside']]
      .map(([netns, name]) => lab.helper(netns!, 'serve', name!, '8080')))
    return { lab, n1, n2, a1, a2, client, near, far, outside }
  } catch (error) {
    await lab.close()
    throw error
  }
}
