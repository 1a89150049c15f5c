import { describe, expect, needs, PORT, sureToReachAll, test, type AgentOnNode } from '../fixtures/index.ts'

/** The last suite by name: without the agents the monitors end. */
const slotA = { matchLabels: { slot: 'a' } }
const clientsOnly = { podSelector: slotA, policyTypes: ['Ingress'], ingress: [{ _from: [{ podSelector: { matchLabels: { app: 'client' } } }] }] }

/** What an agent says of its endpoints: those of this namespace's pods must be the same after it came back. */
const known = async (agents: Iterable<AgentOnNode>) => (await Promise.all([...agents].map((agent) => agent.endpoints()))).flat().map(({ id, identity, ipv4, state }) => `${id} ${identity} ${ipv4} ${state}`).sort()

describe('an agent that is killed', needs('agent:endpoints', 'agent:network-policy', 'own-agent', 'node:exec'), () => {
  test('is started again and knows its endpoints; connections and policy go on', async ({ pods, policies, nodes, agents, away }) => {
    const { a1, b1, client1 } = pods
    const node = nodes.find(({ name }) => name === a1.node) ?? expect.fail('no such node')
    await policies.network('clients-only', clientsOnly, [a1, pods.a2])
    const before = await known(agents.byNode.values())
    const release = await client1.hold(a1.ip, PORT)
    await away.kill(node)
    await Promise.all([expect.soft(client1).toReach(a1), expect.soft(b1).not.toReach(a1)])
    expect.soft(await release()).toMatchObject({ ok: true })
    expect(await known(agents.byNode.values())).toEqual(before)
  })
})

describe('a cluster without agents', needs('agent:endpoints', 'agent:network-policy', 'agent:services', 'own-agent'), () => {
  test('goes on: connections, services, policy; and returning agents take over without a gap', async ({ pods, policies, services, nodes, agents, away }) => {
    const { a1, a2, b1, b2, client1, client2 } = pods
    const service = await services.create({ name: 'lasting', protocol: 'tcp', port: 80, selector: { app: 'server', slot: 'a' } })
    try {
      await Promise.all([...agents.byNode.values()].map((agent) => expect(agent).toListLoadBalancer([service.criteria])))
      await policies.network('clients-only', clientsOnly, [a1, a2])
      const before = await known(agents.byNode.values())
      const held = await Promise.all([client1.hold(a1.ip, PORT), client1.hold(a2.ip, PORT), client2.hold(service.ip, 80)])
      await away.leave()
      await Promise.all([
        expect.soft(client1).toReach(a1), expect.soft(client1).toReach(a2), expect.soft(client2).toReachAll(service, { protocol: 'tcp', port: 80, times: sureToReachAll(2) }),
        expect.soft(b1).not.toReach(a1), expect.soft(b2).not.toReach(a1), expect.soft(a1).toReach(b2),
      ])
      // All the while that they come back nothing denied arrives.
      let back = false
      const knock = async (client: typeof b1) => {
        do await expect.soft(client).not.toReach(a1, { protocol: 'udp', times: 10, timeoutMs: 250 })
        while (!back)
      }
      await Promise.all([away.comeBack(nodes.length).finally(() => { back = true }), knock(b1), knock(b2)])
      await policies.enforced('clients-only', [a1, a2], true)
      expect.soft(await Promise.all(held.map((release) => release()))).toEqual(held.map(() => expect.objectContaining({ ok: true }) as unknown))
      expect.soft(await known(agents.byNode.values())).toEqual(before)
      await Promise.all([...agents.byNode.values()].map((agent) => expect(agent).toListLoadBalancer([service.criteria])))
      await Promise.all([expect.soft(client1).toReach(a1), expect.soft(b1).not.toReach(a1)])
    } finally {
      await away.comeBack(nodes.length)
      await services.remove(service)
    }
  })
})
