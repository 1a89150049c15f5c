import { describe, expect, needs, PORT, sureToReachAll, test, type AgentOnNode, type Node } from '../fixtures/index.ts'

/** The last suite by name: without the agents the monitors end, and at its end the pods have no network. */
const slotA = { matchLabels: { slot: 'a' } }
const clientsOnly = { podSelector: slotA, policyTypes: ['Ingress'], ingress: [{ _from: [{ podSelector: { matchLabels: { app: 'client' } } }] }] }

/** What an agent says of its endpoints: those of this namespace's pods must be the same after it came back. */
const known = async (agents: Iterable<AgentOnNode>) => (await Promise.all([...agents].map((agent) => agent.endpoints()))).flat().map(({ id, identity, ipv4, state }) => `${id} ${identity} ${ipv4} ${state}`).sort()

describe('an agent that is started while its node has no way to the API server', needs('agent:status-at-start', 'agent:endpoints', 'agent:network-policy', 'own-agent', 'wire', 'node:exec'), () => {
  test('says what it waits for; pods and policy go on, and it recovers', async ({ pods, policies, nodes, agent, agents, away, controlPlaneLink }) => {
    const { client1, client2, a2, b2 } = pods
    const node = nodes.find(({ name }) => name === a2.node) ?? expect.fail('no such node')
    await policies.network('clients-only', clientsOnly, [pods.a1, a2])
    const before = await known(agents.byNode.values())
    const release = await client2.hold(a2.ip, PORT)
    /** With its exit code; not to be had while there is no container. */
    const status = () => agent(node).attempt(['status']).then(({ exitCode, stdout, stderr }) => `${exitCode}\n${stdout}${stderr}`, (error: unknown) => String(error))
    const restore = await controlPlaneLink.cut(node)
    try {
      await away.strike(node)
      await expect.poll(status, { timeout: 90_000, interval: 500 }).toMatch(/^1\n[^]*^Kubernetes: +Failure [^]*^Cilium: +Failure +starting: waiting for Kubernetes/m)
      await Promise.all([expect.soft(client2).toReach(a2), expect.soft(client1).toReach(a2), expect.soft(b2).not.toReach(a2, { timeoutMs: 1000 })])
    } finally {
      await restore()
    }
    await expect.poll(status, { timeout: 90_000, interval: 500 }).toMatch(/^0\n/)
    expect.soft(await release()).toMatchObject({ ok: true })
    await expect.poll(() => known(agents.byNode.values()), { timeout: 20_000, interval: 500 }).toEqual(before)
  })
})

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

/** What an agent's names are in on a node, and every program and map that somebody holds. */
const traces = async (node: Node) => {
  const lines = async (command: string) => (await node.exec(`{ ${command}; } 2>/dev/null || true`)).stdout.split('\n').filter(Boolean)
  return {
    interfaces: await lines("ip -o link | grep -E 'cilium|lxc|xdp'"),
    routes: await lines("{ ip route show table all; ip -6 route show table all; } | grep -E 'cilium|lxc'"),
    rules: await lines("{ ip rule; ip -6 rule; } | grep -vE 'lookup (local|main|default) *$'"),
    programs: await lines("for device in /sys/class/net/*; do for side in ingress egress; do tc filter show dev ${device##*/} $side; done; done; tc qdisc | grep clsact; grep -lsE '^prog_type' /proc/[0-9]*/fdinfo/*"),
    maps: await lines("find /sys/fs/bpf -name 'cilium*' -o -path '*/tc/*'; grep -lsE '^map_type' /proc/[0-9]*/fdinfo/*"),
    files: await lines("find /etc/cni/net.d /opt/cni/bin -name '*cilium*'; find /var/run/cilium/ -type f -o -type s"),
  }
}

/** The last of all: the pods that suites share lose their interfaces. */
describe('an agent that is uninstalled', needs('agent:cleanup', 'agent:endpoints', 'agent:network-policy', 'own-agent', 'node:exec'), () => {
  test('leaves nothing on the nodes; installed again, it serves new pods', async ({ pods, policies, visitors, nodes, away }) => {
    const [first, last] = [nodes[0] ?? expect.fail('no node'), nodes.at(-1)!]
    for (const node of nodes) expect((await traces(node)).interfaces, node.name).not.toEqual([])
    await expect(pods.client1).toReach(pods.a2)
    await away.leave()
    await away.cleanUp()
    for (const node of nodes) expect.soft(await traces(node), node.name).toEqual({ interfaces: [], routes: [], rules: [], programs: [], maps: [], files: [] })
    await away.comeBack(nodes.length)
    const [here, there] = await Promise.all([first, last].map((node, i) => visitors.start({ name: `anew-${i}`, node: node.name, labels: { app: 'anew', slot: `anew-${i}` } })))
    await expect(here).toReach(there!)
    await policies.network('nobody-anew', { podSelector: { matchLabels: { slot: 'anew-1' } }, policyTypes: ['Ingress'] }, [there!])
    await expect(here).not.toReach(there!)
  })
})
