import { describe, expect, needs, PORT, sureToReachAll, test, tunnelOf, type Node, type Pod } from '../fixtures/index.ts'

const L3 = 'Policy denied (L3)'
const DENIED = [L3, 'Policy denied (L4)', 'Policy denied (CIDR)']
const slotA = { matchLabels: { slot: 'a' } }
const fromClients = { podSelector: { matchLabels: { app: 'client' } } }
const portOf = (protocol: 'tcp' | 'udp' | 'icmp') => (protocol === 'icmp' ? {} : { port: PORT })

describe.each(['tcp', 'udp', 'icmp'] as const)('%s by IPv6', needs('agent:ipv6', 'agent:monitor', 'node:network'), (protocol) => {
  // As in IPv4: conntrack knows echo requests by their type alone.
  const state = protocol === 'icmp' ? {} : { state: 'new' as const }

  test('between pods of one node: both directions are seen, with identities and states', async ({ pods, monitor }) => {
    const [client, server] = [pods.client1.v6, pods.a1.v6]
    const window = await monitor.during(() => expect(client).toReach(server, { protocol }))
    expect(window).toContainFlow({ from: client, to: server, protocol, ...portOf(protocol), ...state, via: ['from-endpoint', 'to-endpoint'], bothDirections: true })
    expect(window).not.toContainDrop({ from: client, to: server, protocol })
  })

  test('between pods of different nodes: both directions are seen on both nodes, through the overlay', async ({ pods, monitor }) => {
    const [client, server] = [pods.client1.v6, pods.a2.v6]
    const window = await monitor.during(() => expect(client).toReach(server, { protocol }))
    expect(window).toContainFlow({ from: client, to: server, protocol, ...portOf(protocol), ...state, via: ['from-endpoint', 'to-overlay', 'from-overlay', 'to-endpoint'], bothDirections: true })
    expect(window).not.toContainDrop({ from: client, to: server, protocol })
    expect(window).not.toContainDrop({ from: server, to: client, protocol })
  })
})

describe.each(['tcp', 'udp', 'icmp'] as const)('%s by IPv6 on the wire', needs('agent:ipv6', 'agent:tunnel', 'wire'), (protocol) => {
  test('is in the tunnel between the nodes\' IPv4 addresses, with the identity of the sender, and nothing else', async ({ pods, nodes, run, capture }) => {
    const address = (name: string): string => nodes.find((node) => node.name === name)?.ip ?? expect.fail('no such node')
    const [client, server, kind] = [pods.client1.v6, pods.a2.v6, tunnelOf(run)]
    const [ip1, ip2] = [address(client.node), address(server.node)]
    await expect.soft(client).toReach(server, { protocol })
    await expect.soft(capture).toHaveTunnelFrames({ kind, vni: client.identity, from: client, to: server, protocol, outer: { src: ip1, dst: ip2 } })
    await expect.soft(capture).toHaveTunnelFrames({ kind, vni: server.identity, from: server, to: client, protocol, outer: { src: ip2, dst: ip1 } })
    await expect.soft(capture).toHaveNoPlainFramesOf([client, server].map(({ ip }) => `${ip}/128`))
  })
})

describe('a NetworkPolicy', needs('agent:ipv6', 'agent:network-policy', 'agent:monitor', 'node:network'), () => {
  test('for a set of peers holds for IPv6: others are dropped before they arrive, and told with their addresses', async ({ pods, policies, monitor }) => {
    const policy = await policies.network('clients-only', { podSelector: slotA, policyTypes: ['Ingress'], ingress: [{ _from: [fromClients] }] }, [pods.a1, pods.a2])
    const server = pods.a1.v6
    for (const client of [pods.client1.v6, pods.client2.v6]) await expect.soft(client).toReach(server)

    // From the same node and from the other one, where the identity comes through the tunnel.
    const others = [pods.b1.v6, pods.b2.v6].flatMap((other) => (['tcp', 'udp', 'icmp'] as const).map((protocol) => ({ other, protocol })))
    const denied = await monitor.during(() => Promise.all(others.map(({ other, protocol }) => expect.soft(other).not.toReach(server, { protocol }))))
    for (const { other, protocol } of others) {
      expect.soft(denied).toContainDrop({ reason: L3, from: other, to: server, protocol, ...(protocol === 'icmp' ? {} : { dstPort: PORT }), node: server.node })
      expect.soft(denied).not.toContainFlow({ from: other, to: server, protocol, ...portOf(protocol), via: ['to-endpoint'] })
    }
    const texts = denied.events.flatMap((event) => (event.type === 'drop' ? [event.summary.text] : []))
    expect.soft(texts).toContainEqual(expect.stringMatching(new RegExp(`^\\[${others[0]!.other.ip}\\]:\\d+ -> \\[${server.ip}\\]:${PORT} tcp SYN$`)))
    expect.soft(texts).toContain(`${others[0]!.other.ip} -> ${server.ip} EchoRequest`)

    // What the selected pod begins itself is answered.
    await expect.soft(server).toReach(pods.b2.v6)
    await policy.remove()
    await Promise.all([pods.b1.v6, pods.b2.v6].map((other) => expect(other).toReach(server)))
  })

  test('for egress holds for IPv6, at the sender', async ({ pods, policies, monitor }) => {
    await policies.network('to-slot-a', { podSelector: { matchLabels: { app: 'client' } }, policyTypes: ['Egress'], egress: [{ to: [{ podSelector: slotA }], ports: [{ port: PORT, protocol: 'TCP' }] }] }, [pods.client1, pods.client2], 'egress')
    const client = pods.client1.v6
    for (const server of [pods.a1.v6, pods.a2.v6]) await expect.soft(client).toReach(server)
    const denied = await monitor.during(() => Promise.all([pods.b1.v6, pods.b2.v6].map((server) => expect.soft(client).not.toReach(server))))
    for (const server of [pods.b1.v6, pods.b2.v6]) expect.soft(denied).toContainDrop({ reason: DENIED, from: client, to: server.ip, protocol: 'tcp', dstPort: PORT, node: client.node })
  })
})

describe('egress to prefixes of IPv6', needs('agent:ipv6', 'agent:cilium-network-policy', 'agent:monitor', 'node:exec'), () => {
  test('of the world: the prefix, but not its exceptions', async ({ pods, policies, outside6, monitor }) => {
    const client = pods.client1.v6, protocol = 'icmp' as const
    for (const target of [outside6.one, outside6.two]) await expect.soft(client).toReach(target, { protocol })
    await policies.cilium('to-prefix6', { endpointSelector: { matchLabels: { app: 'client' } }, egress: [{ toCIDRSet: [{ cidr: outside6.prefix, except: ['fd09:2::/65'] }] }] }, [pods.client1, pods.client2], 'egress')
    for (const target of [outside6.one, outside6.three]) await expect.soft(client).toReach(target, { protocol })
    const window = await monitor.during(() => Promise.all([outside6.two, pods.a1.v6].map((target) => expect.soft(client).not.toReach(target, { protocol }))))
    for (const to of [outside6.two.ip, pods.a1.v6.ip]) expect.soft(window).toContainDrop({ reason: DENIED, from: client, to, protocol, node: client.node })
  })

  test('behind a service that leads out of the cluster: its endpoints, and no other', needs('agent:services', 'dual-stack'), async ({ pods, policies, outside6, services, monitor }) => {
    const { client1, client2 } = pods, client = client1.v6, protocol = 'icmp' as const
    const service = await services.lead('outside6', { ips: [outside6.one.ip], port: 80 })
    try {
      await policies.cilium('to-service6', { endpointSelector: { matchLabels: { app: 'client' } }, egress: [{ toServices: [{ k8sService: { serviceName: service.name, namespace: client.namespace } }] }] }, [client1, client2], 'egress')
      await expect.soft(client).toReach(outside6.one, { protocol })
      const window = await monitor.during(() => expect.soft(client).not.toReach(outside6.two, { protocol }))
      expect.soft(window).toContainDrop({ reason: DENIED, from: client, to: outside6.two.ip, protocol, node: client.node })
    } finally {
      await services.remove(service)
    }
  })

  test('that a name has: its addresses of IPv6, and no other', needs('agent:fqdn-policy', 'agent:services', 'dns-address'), async ({ pods, policies, outside6, names, monitor }) => {
    const { client1, client2 } = pods, client = client1.v6, protocol = 'icmp' as const
    await names.serve({ 'six.suites.example': [outside6.one.ip] })
    await policies.cilium('to-name6', { endpointSelector: { matchLabels: { app: 'client' } }, egress: [{ toFQDNs: [{ matchName: 'six.suites.example' }] }] }, [client1, client2], 'egress')
    // Agents ask every 5 s and more.
    await expect.poll(async () => (await client.attempt(outside6.one.ip, { protocol, port: 0, times: 1, timeoutMs: 1500 })).every(({ ok }) => ok), { timeout: 60_000 }).toBe(true)
    const window = await monitor.during(() => expect.soft(client).not.toReach(outside6.two, { protocol }))
    expect.soft(window).toContainDrop({ reason: DENIED, from: client, to: outside6.two.ip, protocol, node: client.node })
  })
})

/** The address by which a pod sees its node. */
async function hostAddress(node: Node, pod: Pod): Promise<string> {
  const [attempt] = await node.attempt(pod.v6.ip, { protocol: 'tcp', port: PORT, times: 1, timeoutMs: 10_000 })
  return /\|\[(.+)\]:\d+$/.exec(attempt?.reply ?? '')?.[1] ?? expect.fail(`${pod.name} saw no address of its node: ${attempt?.reply ?? 'no answer'}`)
}

describe('services by IPv6', needs('agent:ipv6', 'agent:services', 'agent:ipv6-services', 'dual-stack'), () => {
  const app = { app: 'server' }, times = sureToReachAll(4)

  test.for(['tcp', 'udp'] as const)('a %s service is listed, answered by every backend of both nodes, from its own address, and its backends see the client', async (protocol, { pods, services, agents }) => {
    const service = await services.create({ name: `six-${protocol}`, families: ['IPv6'], protocol, port: 80, selector: app })
    try {
      await Promise.all([...agents.byNode.values()].map(async (agent) => {
        await expect(agent).toListLoadBalancer(service.criteria)
        await expect(agent).toListService(service.criteria)
      }))
      await Promise.all([pods.client1.v6, pods.client2.v6].map((client) => expect.soft(client).toReachAll(service, { protocol, port: 80, times })))
      const attempts = await pods.client1.v6.attempt(service.ip, { protocol, port: 80, times: 8, timeoutMs: 10_000 })
      expect.soft(attempts.map(({ remote, error }) => error ?? remote)).toEqual(Array(8).fill(`[${service.ip}]:80`))
      expect.soft(attempts.map(({ reply }) => reply.replace(/^.*\|\[(.*)\]:\d+$/, '$1'))).toEqual(Array(8).fill(pods.client1.v6.ip))
    } finally {
      await services.remove(service)
    }
    await Promise.all([...agents.byNode.values()].map((agent) => expect(agent).not.toListLoadBalancer(service.criteria)))
  })

  test('a service of both families is one of each, and with affinity a client has one backend', async ({ pods, services, agents }) => {
    const service = await services.create({ name: 'dual', families: ['IPv4', 'IPv6'], protocol: 'tcp', port: 80, selector: app, affinity: 600 })
    try {
      const other = service.other ?? expect.fail(`${service.name} has no second cluster IP`)
      await Promise.all([...agents.byNode.values()].map((agent) => expect(agent).toListLoadBalancer([service.criteria, other.criteria])))
      for (const [client, ip] of [[pods.client1, service.ip], [pods.client1.v6, other.ip]] as const) {
        const attempts = await client.attempt(ip, { protocol: 'tcp', port: 80, times: sureToReachAll(2), timeoutMs: 10_000 })
        expect.soft(new Set(attempts.map(({ reply, error }) => error ?? reply.split('|')[0])).size).toBe(1)
      }
    } finally {
      await services.remove(service)
    }
  })

  test('a node port is answered at both nodes, to pods and to nodes', needs('agent:node-port', 'node:network'), async ({ pods, nodes, services, agents }) => {
    const service = await services.create({ name: 'six-port', families: ['IPv6'], protocol: 'tcp', port: 80, selector: app, nodePort: true })
    try {
      await Promise.all([...agents.byNode.values()].map((agent) => expect(agent).toListLoadBalancer(service.criteria)))
      for (const node of nodes) {
        const near = pods.servers.find((pod) => pod.node === node.name) ?? expect.fail(`no server on ${node.name}`)
        const target = { ...service, name: `node port of ${node.name}`, ip: await hostAddress(node, near) }
        await Promise.all([pods.client1.v6, pods.client2.v6].map((client) => expect.soft(client).toReachAll(target, { protocol: 'tcp', port: service.nodePort, times })))
        const attempts = await Promise.all(nodes.map((client) => client.attempt(target.ip, { protocol: 'tcp', port: service.nodePort, times: 6, timeoutMs: 10_000 })))
        for (const { ok, reply, error } of attempts.flat()) expect.soft(ok && service.backends.some(({ name }) => name === reply.split('|')[0]), error ?? reply).toBe(true)
      }
    } finally {
      await services.remove(service)
    }
  })

  test('connections through one are seen in the monitor with the identities of client and backend', needs('agent:monitor', 'node:network'), async ({ pods, services, agent, monitor }) => {
    const client = pods.client1.v6
    const service = await services.create({ name: 'six-seen', families: ['IPv6'], protocol: 'tcp', port: 80, selector: app })
    try {
      await expect(agent(client.node)).toListLoadBalancer(service.criteria)
      const window = await monitor.during(() => client.attempt(service.ip, { protocol: 'tcp', port: 80, times: 1, timeoutMs: 10_000 }))
      const backend = pods.servers.find(({ name }) => window.result[0]?.reply.startsWith(`${name}|`)) ?? expect.fail(`no server answered: ${JSON.stringify(window.result)}`)
      expect.soft(window).toContainFlow({ from: client, to: backend.v6, protocol: 'tcp', port: PORT, via: ['to-endpoint'], state: 'new' })
      expect.soft(window).not.toContainDrop({ from: client })
    } finally {
      await services.remove(service)
    }
  })
})

describe('pods and hosts by IPv6', needs('agent:ipv6', 'node:network'), () => {
  test('reach each other, on the same node and on the other', async ({ pods, nodes }) => {
    const node = nodes.find(({ name }) => name === pods.a1.node) ?? expect.fail('no such node')
    for (const server of [pods.a1.v6, pods.a2.v6]) for (const protocol of ['tcp', 'udp', 'icmp'] as const) await expect.soft(node).toReach(server, { protocol })
    const host = await hostAddress(node, pods.a1)
    for (const client of [pods.client1.v6, pods.client2.v6]) await expect.soft(client).toReach({ name: `${node.name}'s host`, ip: host }, { protocol: 'icmp' })
  })
})

describe('what the agent lists', needs('agent:ipv6'), () => {
  test('has both addresses of each pod, its own first in Kubernetes', async ({ pods, agent, cluster }) => {
    for (const pod of [pods.client1, pods.a2]) {
      const row = (await agent(pod.node).endpoints()).find(({ id }) => id === pod.endpoint)
      expect(row).toMatchObject({ ipv4: pod.ip, ipv6: pod.v6.ip })
      const { status } = await cluster.kube.core.readNamespacedPodStatus({ namespace: pod.namespace, name: pod.name })
      expect(status?.podIP).toBe(pod.ip)
    }
  })

  test('has IPv6 in its maps: the way to other nodes, identities, connections', needs('agent:tunnel-map'), async ({ pods, nodes, agent }) => {
    const [client, server] = [pods.client1.v6, pods.a2.v6]
    await expect(client).toReach(server)
    const remote = nodes.find(({ name }) => name === server.node) ?? expect.fail('no such node')
    const of = async (...argv: string[]): Promise<string[]> => (await agent(client.node).exec(argv)).stdout.split('\n')
    expect((await of('bpf', 'tunnel', 'list')).filter((line) => line.split(/\s+/)[0]!.split(':').length > 2 && line.includes(remote.ip))).toHaveLength(1)
    expect(await of('bpf', 'ipcache', 'list')).toContainEqual(expect.stringMatching(new RegExp(`^${server.ip}/128 +${server.identity} `)))
    const flow = [client, server].map(({ ip }) => `[${ip}]:`)
    expect((await of('bpf', 'ct', 'list', 'global')).filter((line) => line.startsWith('TCP OUT') && flow.every((end) => line.includes(end)))).not.toEqual([])
  })
})
