import { describe, expect, needs, PORT, test, type AgentOnNode } from '../fixtures/index.ts'

const slotA = { matchLabels: { slot: 'a' } }
const clientsOnly = { podSelector: slotA, policyTypes: ['Ingress'], ingress: [{ _from: [{ podSelector: { matchLabels: { app: 'client' } } }] }] }

/** Identities that the cluster allocates, and not a node for itself. */
const allocated = async (agent: AgentOnNode) => (await agent.identities()).filter(({ id }) => id >= 256 && id < 65_536)
const brief = (agent: AgentOnNode) => async () => {
  const { stdout, stderr, exitCode } = await agent.attempt(['status', '--brief'])
  return `${exitCode === 0 ? 'success' : 'failure'}: ${`${stdout}${stderr}`.trim()}`
}
/** What is in the kvstore under a prefix, by key. */
const stored = async (agent: AgentOnNode, prefix: string) =>
  new Map((await agent.exec(['kvstore', 'get', '--recursive', prefix])).stdout.split('\n').filter((line) => line.includes(' => ')).map((line) => line.split(' => ', 2) as [string, string]))

describe('identities in a kvstore', needs('agent:kvstore', 'agent:identities', 'agent:endpoints'), () => {
  test('are one for each set of labels, the same on every node, even for pods that come at once', async ({ pods, visitors, nodes, agents }) => {
    expect.soft([pods.a2.identity, pods.b2.identity]).toEqual([pods.a1.identity, pods.b1.identity])
    const twins = await Promise.all(nodes.slice(0, 2).map(({ name }, i) => visitors.start({ name: `twin-${i + 1}`, node: name, labels: { app: 'visitor', visit: 'kvstore' } })))
    expect(new Set(twins.map(({ identity }) => identity)).size).toBe(1)
    for (const agent of agents.byNode.values()) {
      await expect.poll(async () => (await allocated(agent)).find(({ id }) => id === twins[0]?.identity)?.labels ?? [], { timeout: 15_000, interval: 300 }).toContain('k8s:visit=kvstore')
      const sets = (await allocated(agent)).map(({ labels }) => [...labels].sort().join(';'))
      expect(sets, agent.name).toEqual([...new Set(sets)])
    }
  })

  test('are in etcd with every node that uses them, and so are the addresses of pods', async ({ pods, nodes, agents }) => {
    const { a1, a2 } = pods
    const ipOf = (node: string) => nodes.find(({ name }) => name === node)?.ip ?? expect.fail(`no node ${node}`)
    const users = [a1, a2].map(({ node }) => ipOf(node)).sort()
    for (const agent of agents.byNode.values()) {
      expect((await agent.exec(['status'])).stdout, agent.name).toMatch(/^KVStore: +Ok +etcd: (\d+)\/\1 connected\b/m)
      const identities = await stored(agent, 'cilium/state/identities/v1/')
      expect([...identities.keys()].filter((key) => key.includes('/id/')), agent.name).toContain(`cilium/state/identities/v1/id/${a1.identity}`)
      const found = [...identities].filter(([key, value]) => key.includes('/value/') && value === String(a1.identity)).map(([key]) => key.split('/').at(-1))
      expect(found.sort(), `users of identity ${a1.identity}, as ${agent.name} reads them`).toEqual(users)
      const addresses = await stored(agent, 'cilium/state/ip/v1/default/')
      for (const pod of pods.all) {
        const value = addresses.get(`cilium/state/ip/v1/default/${pod.ip}`) ?? expect.fail(`${agent.name} reads no address ${pod.ip} of ${pod.name}`)
        expect.soft(JSON.parse(value), pod.name).toMatchObject({ IP: pod.ip, HostIP: ipOf(pod.node), ID: pod.identity })
      }
    }
  })

  test('go when their last pod has gone, on whatever node, and no others do', needs('agent:identity-gc'), async ({ pods, visitors, nodes, agents }) => {
    const labels = { app: 'visitor', visit: 'kvstore-last' }
    const [first, second] = await Promise.all(nodes.slice(0, 2).map(({ name }, i) => visitors.start({ name: `last-${i + 1}`, node: name, labels })))
    const identity = first?.identity ?? expect.fail('no visitor')
    expect(second?.identity).toBe(identity)
    const lists = (agent: AgentOnNode) => async () => (await allocated(agent)).some(({ id }) => id === identity)
    const users = (agent: AgentOnNode) => async () => [...(await stored(agent, 'cilium/state/identities/v1/value/')).values()].filter((value) => value === String(identity)).length
    const [agent] = [...agents.byNode.values()]
    await visitors.remove('last-1')
    await expect.poll(users(agent ?? expect.fail('no agent')), { timeout: 60_000, interval: 500 }).toBe(1)
    await visitors.remove('last-2')
    for (const each of agents.byNode.values()) await expect.poll(lists(each), { timeout: 150_000, interval: 1000 }).toBe(false)
    for (const each of agents.byNode.values()) {
      const ids = (await allocated(each)).map(({ id }) => id)
      for (const pod of pods.all) expect.soft(ids, `${pod.name} on ${each.name}`).toContain(pod.identity)
    }
  })
})

describe('a cluster whose kvstore is away', needs('agent:kvstore', 'agent:identities', 'agent:endpoints', 'agent:network-policy', 'etcd'), () => {
  test('says so; connections and policy go on; and it catches up when the kvstore is back', async ({ pods, policies, visitors, nodes, agents, etcd }) => {
    const { a1, a2, b1, b2, client1 } = pods
    const all = [...agents.byNode.values()]
    await policies.network('clients-only', clientsOnly, [a1, a2])
    for (const agent of all) await expect.poll(brief(agent), { timeout: 20_000, interval: 500 }).toBe('success: OK')
    const held = await Promise.all([client1.hold(a1.ip, PORT), client1.hold(a2.ip, PORT)])
    await etcd.takeAway()
    for (const agent of all) {
      await expect.poll(brief(agent), { timeout: 90_000, interval: 500 }).toMatch(/^failure: error in kvstore: /i)
      const { stdout, exitCode } = await agent.attempt(['status'])
      expect.soft(exitCode, agent.name).not.toBe(0)
      expect.soft(stdout, agent.name).toMatch(/^KVStore: +Failure +\S/m)
    }
    await Promise.all([expect.soft(client1).toReach(a1), expect.soft(client1).toReach(a2), expect.soft(b1).not.toReach(a1), expect.soft(b2).not.toReach(a1), expect.soft(a1).toReach(b2)])
    await etcd.giveBack()
    for (const agent of all) await expect.poll(brief(agent), { timeout: 90_000, interval: 500 }).toBe('success: OK')
    expect.soft(await Promise.all(held.map((release) => release()))).toEqual(held.map(() => expect.objectContaining({ ok: true }) as unknown))
    const [node] = nodes
    const late = await visitors.start({ name: 'late', node: (node ?? expect.fail('no node')).name, labels: { app: 'visitor', visit: 'kvstore-late' } })
    for (const agent of all) await expect.poll(async () => (await allocated(agent)).some(({ id }) => id === late.identity), { timeout: 30_000, interval: 500 }).toBe(true)
    for (const agent of all) for (const pod of pods.all) expect.soft((await allocated(agent)).map(({ id }) => id), `${pod.name} on ${agent.name}`).toContain(pod.identity)
    await Promise.all([expect.soft(client1).toReach(a2), expect.soft(b1).not.toReach(a2), expect.soft(late).not.toReach(a2)])
  })
})
