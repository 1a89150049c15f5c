import { describe, expect, needs, test } from '../fixtures/index.ts'

/** Of Cilium's reasons: Policy denied (CIDR). */
const BY_PREFIX = 'Policy denied (CIDR)'

// Generic XDP and tries by the longest prefix came with 4.12 and 4.11; virtio's driver has XDP since 4.10, but wants more queues than an emulated machine has.
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

  test('refuses what is no prefix, or was made for another revision, and changes nothing', async ({ nodes, agent }) => {
    const cilium = agent(nodes[0] ?? expect.fail('no node'))
    const before = (await cilium.exec(['prefilter', 'list'])).stdout
    for (const argv of [['--cidr', '10.9.0.0/99'], ['--cidr', '10.9.1.0/24', '--revision', '4711']]) expect.soft(await cilium.attempt(['prefilter', 'update', ...argv])).toMatchObject({ exitCode: 1 })
    expect((await cilium.exec(['prefilter', 'list'])).stdout).toBe(before)
  })
})
