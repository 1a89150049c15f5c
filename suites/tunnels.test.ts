import { describe, expect, needs, test, tunnelOf } from '../fixtures/index.ts'

describe.each(['tcp', 'udp', 'icmp'] as const)('%s between pods of different nodes', needs('agent:tunnel', 'wire'), (protocol) => {
  test('is in the tunnel that the agent was set to, with the identity of the sender, and nothing else', async ({ pods, nodes, run, capture }) => {
    const address = (name: string): string => nodes.find((node) => node.name === name)?.ip ?? expect.fail('no such node')
    const kind = tunnelOf(run)
    const [ip1, ip2] = [address(pods.client1.node), address(pods.a2.node)]
    // Soft: when the flow is broken, what is on the wire instead is the better half of the answer.
    await expect.soft(pods.client1).toReach(pods.a2, { protocol })
    await expect.soft(capture).toHaveTunnelFrames({ kind, vni: pods.client1.identity, from: pods.client1, to: pods.a2, protocol, outer: { src: ip1, dst: ip2 } })
    await expect.soft(capture).toHaveTunnelFrames({ kind, vni: pods.a2.identity, from: pods.a2, to: pods.client1, protocol, outer: { src: ip2, dst: ip1 } })
    await expect.soft(capture).toHaveNoPlainFramesOf([run.cluster.podCidr])
  })
})

describe('a packet as large as a pod can send', needs('agent:pod-mtu', 'agent:tunnel', 'wire', 'node:exec'), () => {
  test('fits into the tunnel, and crosses whole', async ({ pods, nodes, capture }) => {
    const { client1, a2 } = pods
    const OVERHEAD = 50
    const HEADERS = 28
    const ETHERNET = 14
    const mtu = async (read: Promise<string>) => Number((await read).trim())
    const wire = await mtu(nodes[0]!.exec(`cat /sys/class/net/$(ip -o route get ${nodes[1]!.ip} | sed 's/.* dev \\([^ ]*\\).*/\\1/')/mtu`).then(({ stdout }) => stdout))
    const pod = await mtu(client1.exec(['cat', '/sys/class/net/eth0/mtu']))
    expect.soft(pod).toBe(wire - OVERHEAD)
    await expect.soft(client1.exec(['ping', '-c', '1', '-W', '10', '-s', String(pod - HEADERS), a2.ip])).resolves.toMatch(/ 0% packet loss/)
    for (const { ip } of [client1, a2]) {
      const frames = (await capture.frames()).filter(({ tunnel }) => tunnel?.inner.ip?.src === ip && tunnel.inner.ip.protocol === 1)
      expect.soft(frames.map(({ length, tunnel }) => [length, tunnel?.inner.length])).toEqual([[pod + OVERHEAD + ETHERNET, pod + ETHERNET]])
    }
  })
})

describe('the tunnel map', needs('agent:tunnel-map'), () => {
  test('names on each node the pod CIDR and address of every other', async ({ nodes, cluster, agent }) => {
    const { items } = await cluster.kube.core.listNode()
    const podCidr = (name: string): string => items.find(({ metadata }) => metadata?.name === name)?.spec?.podCIDR ?? expect.fail(`${name} has no pod CIDR`)
    const pairs = nodes.flatMap((node) => nodes.filter(({ name }) => name !== node.name).map((other) => [node, other] as const))
    await Promise.all(pairs.map(([node, other]) => expect(agent(node)).toListTunnel({ prefix: podCidr(other.name), node: other.ip })))
  })
})

describe('identities in the tunnel', () => {
  test('are those that the agent of each node lists', needs('agent:identities'), async ({ pods, agent }) => {
    await Promise.all([pods.client1, pods.a2].map(async (pod) => {
      const [endpoints, identities] = await Promise.all([agent(pod.node).endpoints(), agent(pod.node).identities()])
      expect(endpoints.find(({ ipv4 }) => ipv4 === pod.ip)).toMatchObject({ identity: pod.identity })
      expect(identities.map(({ id }) => id)).toContain(pod.identity)
    }))
  })

  test('differ between pods of different labels', needs('agent:tunnel', 'wire'), async ({ pods, run, capture }) => {
    const kind = tunnelOf(run)
    await Promise.all([expect.soft(pods.b1).toReach(pods.a2), expect.soft(pods.client1).toReach(pods.b2)])
    await expect.soft(capture).toHaveTunnelFrames({ kind, vni: pods.b1.identity, from: pods.b1, to: pods.a2 })
    await expect.soft(capture).toHaveTunnelFrames({ kind, vni: pods.client1.identity, from: pods.client1, to: pods.b2 })
    await expect.soft(capture).toHaveTunnelFrames({ kind, vni: pods.b2.identity, from: pods.b2, to: pods.client1 })
  })
})
