import { describe, expect, needs, test, type Node } from '../fixtures/index.ts'

/** Of Cilium's reasons: Policy denied (CIDR). */
const BY_PREFIX = 'Policy denied (CIDR)'

/** The device that a node has its address on. */
const deviceOf = async (node: Node) => /^\d+: (\S+)/.exec((await node.exec(`ip -o -4 addr show to ${node.ip}`)).stdout)?.[1] ?? expect.fail(`${node.name} has its address ${node.ip} on no device`)

// Generic XDP and tries by the longest prefix came with 4.12 and 4.11; virtio's driver has XDP since 4.10, but on early kernels wants more queues than an emulated machine has.
describe('the prefilter', needs('agent:prefilter', 'agent:monitor', 'map:lpm_trie', 'attach:xdp-generic', 'own-agent', 'node:exec'), () => {
  test('drops what comes from a denied prefix before anything else, says so, and lets all else through', async ({ pods, outside, nodes, agent, monitor }) => {
    const [node, other] = [nodes[0] ?? expect.fail('no node'), nodes[1] ?? expect.fail('no second node')]
    // The second node has the addresses outside; from there they come as they are, in no tunnel.
    const answered = async (from: string) => (await other.exec(`ping -n -c 2 -i 0.3 -W 2 -I ${from} ${node.ip}`, { allowFailure: true })).exitCode === 0
    const cilium = (...argv: string[]) => agent(node).exec(['prefilter', ...argv]).then(({ stdout }) => stdout)
    const revision = async () => /^Revision: (\d+)$/m.exec(await cilium('list'))?.[1] ?? expect.fail('no revision')
    expect([await answered(outside.one.ip), await answered(outside.two.ip)]).toEqual([true, true])
    await cilium('update', '--cidr', '10.9.1.0/24', '--cidr', '10.9.77.0/24', '--revision', await revision())
    try {
      expect((await cilium('list')).split('\n').map((line) => line.trim())).toEqual(expect.arrayContaining(['10.9.1.0/24', '10.9.77.0/24']))
      const window = await monitor.during(async () => expect.soft(await answered(outside.one.ip)).toBe(false))
      expect.soft(window).toContainDrop({ reason: BY_PREFIX, from: outside.one.ip, to: node.ip, protocol: 'icmp', node: node.name })
      expect.soft(await answered(outside.two.ip)).toBe(true)
      await expect.soft(pods.client1).toReach(pods.a2)
    } finally {
      await cilium('delete', '--cidr', '10.9.1.0/24', '--cidr', '10.9.77.0/24', '--revision', await revision())
    }
    expect(await answered(outside.one.ip)).toBe(true)
  })

  test('does the same for IPv6, by prefixes of its own', needs('agent:ipv6'), async ({ pods, outside, outside6, nodes, agent, monitor }) => {
    const [node, other] = [nodes[0] ?? expect.fail('no node'), nodes[1] ?? expect.fail('no second node')]
    // Nodes have no IPv6 of their own but their links'.
    const { stdout } = await node.exec(`ip -o -6 addr show dev ${await deviceOf(node)} scope link`)
    const ip = /inet6 (fe80:[0-9a-f:]+)/.exec(stdout)?.[1] ?? expect.fail(`${node.name} has no link-local address: ${stdout}`)
    const link = await deviceOf(other)
    const answered = async (from: string, to: string) => (await other.exec(`ping -n -c 2 -i 0.3 -W 2 -I ${from} ${to}`, { allowFailure: true })).exitCode === 0
    const six = (from: string) => answered(from, `${ip}%${link}`)
    const cilium = (...argv: string[]) => agent(node).exec(['prefilter', ...argv]).then(({ stdout: text }) => text)
    expect([await six(outside6.one.ip), await six(outside6.two.ip), await answered(outside.one.ip, node.ip)]).toEqual([true, true, true])
    await cilium('update', '--cidr', 'fd09:1::/32')
    try {
      expect((await cilium('list')).split('\n').map((line) => line.trim())).toContain('fd09:1::/32')
      const window = await monitor.during(async () => expect.soft(await six(outside6.one.ip)).toBe(false))
      expect.soft(window).toContainDrop({ reason: BY_PREFIX, from: outside6.one.ip, to: ip, protocol: 'icmp', node: node.name })
      expect.soft([await six(outside6.two.ip), await answered(outside.one.ip, node.ip)]).toEqual([true, true])
      await expect.soft(pods.client1.v6).toReach(pods.a2.v6)
    } finally {
      await cilium('delete', '--cidr', 'fd09:1::/32')
    }
    expect(await six(outside6.one.ip)).toBe(true)
  })

  test('runs as the status says: in the driver, or in the stack', needs('agent:prefilter-mode'), async ({ nodes, agent }) => {
    const node = nodes[0] ?? expect.fail('no node')
    const device = await deviceOf(node)
    // By iproute2's names.
    const attached = async () => /\bxdp\w*/.exec((await node.exec(`ip link show dev ${device}`)).stdout)?.[0]
    const mode = async () => /^XDP prefilter:\s+(\w+)$/m.exec((await agent(node).exec(['status'])).stdout)?.[1]
    expect([await mode(), await attached()]).toEqual([undefined, undefined])
    await agent(node).exec(['prefilter', 'update', '--cidr', '10.9.77.0/24'])
    try {
      expect([['native', 'xdp'], ['generic', 'xdpgeneric']]).toContainEqual([await mode(), await attached()])
    } finally {
      await agent(node).exec(['prefilter', 'delete', '--cidr', '10.9.77.0/24'])
    }
    expect([await mode(), await attached()]).toEqual([undefined, undefined])
  })

  test('refuses what is no prefix, or was made for another revision, and changes nothing', async ({ nodes, agent }) => {
    const cilium = agent(nodes[0] ?? expect.fail('no node'))
    const before = (await cilium.exec(['prefilter', 'list'])).stdout
    for (const argv of [['--cidr', '10.9.0.0/99'], ['--cidr', 'fd09::/129'], ['--cidr', '0.0.0.0/0'], ['--cidr', '::/0'], ['--cidr', '10.9.1.0/24', '--revision', '4711']]) expect.soft(await cilium.attempt(['prefilter', 'update', ...argv])).toMatchObject({ exitCode: 1 })
    expect((await cilium.exec(['prefilter', 'list'])).stdout).toBe(before)
  })
})
