import { describe, expect, needs, OTHER_PORT, PORT, STRANGERS, test, type Pod } from '../fixtures/index.ts'

/** Which of the two a denial for the wrong port is differs between versions; a denial for the wrong identity is always L3. */
const L3 = 'Policy denied (L3)'
const L3_OR_L4 = [L3, 'Policy denied (L4)']

const fromClients = { podSelector: { matchLabels: { app: 'client' } } }
const slotA = { matchLabels: { slot: 'a' } }
const slotB = { matchLabels: { slot: 'b' } }

describe('without a policy', () => {
  test('every pod reaches a server', async ({ pods }) => {
    await Promise.all([pods.client1, pods.b1, pods.b2].map((pod) => expect(pod).toReach(pods.a1)))
  })
})

describe('a NetworkPolicy for a set of peers', needs('agent:network-policy', 'agent:monitor', 'node:network'), () => {
  test('lets them in, drops all others before they arrive, and is gone when deleted', async ({ pods, policies, monitor }) => {
    const policy = await policies.network('clients-only', { podSelector: slotA, policyTypes: ['Ingress'], ingress: [{ _from: [fromClients] }] }, [pods.a1, pods.a2])

    const allowed = await monitor.during(() => Promise.all([pods.client1, pods.client2].map((client) => expect(client).toReach(pods.a1))))
    for (const client of [pods.client1, pods.client2]) {
      expect(allowed).toContainFlow({ from: client, to: pods.a1, protocol: 'tcp', port: PORT, via: ['to-endpoint'], state: 'new', bothDirections: true })
      expect(allowed).not.toContainDrop({ from: client, to: pods.a1 })
    }

    // From the same node and from the other one, where the identity comes through the tunnel.
    const others = [pods.b1, pods.b2].flatMap((other) => (['tcp', 'udp', 'icmp'] as const).map((protocol) => ({ other, protocol, port: protocol === 'icmp' ? undefined : PORT })))
    const denied = await monitor.during(() => Promise.all(others.map(({ other, protocol }) => expect.soft(other).not.toReach(pods.a1, { protocol }))))
    for (const { other, protocol, port } of others) {
      expect.soft(denied).toContainDrop({ reason: L3, from: other, to: pods.a1, protocol, ...(port === undefined ? {} : { dstPort: port }), node: pods.a1.node })
      expect.soft(denied).not.toContainFlow({ from: other, to: pods.a1, protocol, ...(port === undefined ? {} : { port }), via: ['to-endpoint'] })
    }

    await policy.remove()
    await Promise.all([pods.b1, pods.b2].map((other) => expect(other).toReach(pods.a1)))
  })
})

describe('a NetworkPolicy without rules', needs('agent:network-policy', 'agent:monitor', 'node:network'), () => {
  test('denies every pod by default, but not the host', async ({ pods, policies, monitor, nodes }) => {
    const node = nodes.find(({ name }) => name === pods.a1.node) ?? expect.fail('no such node')
    await policies.network('deny-all', { podSelector: slotA, policyTypes: ['Ingress'] }, [pods.a1, pods.a2])
    const window = await monitor.during(() => Promise.all([expect.soft(pods.client1).not.toReach(pods.a1), expect.soft(pods.client1).not.toReach(pods.a2)]))
    for (const server of [pods.a1, pods.a2]) expect.soft(window).toContainDrop({ reason: L3, from: pods.client1, to: server, protocol: 'tcp', dstPort: PORT, node: server.node })
    await expect(node).toReach(pods.a1)
    // Pods that it doesn't select, and what the selected ones begin themselves, are left alone.
    await Promise.all([expect(pods.client1).toReach(pods.b1), expect(pods.a1).toReach(pods.b2)])
  })
})

describe('a CiliumNetworkPolicy with ports', needs('agent:cilium-network-policy', 'agent:monitor', 'node:network'), () => {
  test('opens one port to one peer, and nothing else', async ({ pods, policies, monitor }) => {
    const policy = await policies.cilium('clients-on-8080', {
      endpointSelector: slotA,
      ingress: [{ fromEndpoints: [{ matchLabels: { app: 'client' } }], toPorts: [{ ports: [{ port: String(PORT), protocol: 'TCP' }] }] }],
    }, [pods.a1, pods.a2])

    await Promise.all([expect(pods.client1).toReach(pods.a1), expect(pods.client2).toReach(pods.a1)])

    const window = await monitor.during(() => Promise.all([
      expect.soft(pods.client1).not.toReach(pods.a1, { port: OTHER_PORT }),
      expect.soft(pods.client2).not.toReach(pods.a1, { protocol: 'udp' }),
      expect.soft(pods.b2).not.toReach(pods.a1),
    ]))
    expect.soft(window).toContainDrop({ reason: L3_OR_L4, from: pods.client1, to: pods.a1, protocol: 'tcp', dstPort: OTHER_PORT })
    expect.soft(window).toContainDrop({ reason: L3_OR_L4, from: pods.client2, to: pods.a1, protocol: 'udp', dstPort: PORT })
    expect.soft(window).toContainDrop({ reason: L3_OR_L4, from: pods.b2, to: pods.a1, protocol: 'tcp', dstPort: PORT })

    await policy.remove()
    await expect(pods.client1).toReach(pods.a1, { port: OTHER_PORT })
  })

  test('with a port and no peers opens it to all', async ({ pods, policies, monitor }) => {
    await policies.cilium('all-on-8080', { endpointSelector: slotA, ingress: [{ toPorts: [{ ports: [{ port: String(PORT), protocol: 'TCP' }] }] }] }, [pods.a1, pods.a2])
    await Promise.all([pods.client1, pods.b1, pods.b2].map((pod) => expect(pod).toReach(pods.a2)))
    const window = await monitor.during(() => expect.soft(pods.b1).not.toReach(pods.a2, { port: OTHER_PORT }))
    expect.soft(window).toContainDrop({ reason: L3_OR_L4, from: pods.b1, to: pods.a2, protocol: 'tcp', dstPort: OTHER_PORT })
  })
})

describe('peers by expressions', needs('agent:network-policy', 'agent:cilium-network-policy'), () => {
  test('are those for whom all of them hold, a label that is not there included', async ({ pods, policies }) => {
    const { client1, client2, a1, a2, b1, b2 } = pods
    const is = (key: string, operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist', ...values: string[]) => ({ key, operator, ...(values.length ? { values } : {}) })
    await Promise.all([
      policies.cilium('of-a-slot', { endpointSelector: { matchExpressions: [is('slot', 'In', 'a', 'c')] }, ingress: [{ fromEndpoints: [{ matchExpressions: [is('slot', 'Exists'), is('app', 'NotIn', 'client')] }] }] }, [a1, a2]),
      policies.network('of-no-slot', { podSelector: { matchExpressions: [is('slot', 'NotIn', 'a'), is('app', 'In', 'server')] }, policyTypes: ['Ingress'], ingress: [{ _from: [{ podSelector: { matchExpressions: [is('slot', 'DoesNotExist')] } }] }] }, [b1, b2]),
    ])
    const allowed = [[b1, a1], [b2, a1], [client1, b1], [client2, b1]] as const
    const denied = [[client1, a1], [client2, a1], [a1, b1], [a2, b1]] as const
    await Promise.all([...allowed.map(([from, to]) => expect.soft(from).toReach(to)), ...denied.map(([from, to]) => expect.soft(from).not.toReach(to))])
  })
})

describe('peers by namespace', needs('agent:network-policy', 'agent:cilium-network-policy'), () => {
  test('are of that namespace, whatever else has their labels', async ({ pods, stranger, policies }) => {
    const { client1, client2, a1, a2, b1, b2 } = pods
    await Promise.all([
      policies.network('own-clients', { podSelector: slotA, policyTypes: ['Ingress'], ingress: [{ _from: [fromClients] }] }, [a1, a2]),
      policies.network('strange-clients', { podSelector: slotB, policyTypes: ['Ingress'], ingress: [{ _from: [{ namespaceSelector: { matchLabels: STRANGERS }, ...fromClients }] }] }, [b1, b2]),
      policies.cilium('strangers', { endpointSelector: { matchLabels: { app: 'client' } }, ingress: [{ fromEndpoints: [{ matchLabels: { 'k8s:io.kubernetes.pod.namespace': stranger.namespace } }] }] }, [client1, client2]),
    ])
    const allowed = [[client1, a1], [stranger, b1], [stranger, client1]] as const
    const denied = [[stranger, a1], [client1, b1], [client2, client1]] as const
    await Promise.all([...allowed.map(([from, to]) => expect.soft(from).toReach(to)), ...denied.map(([from, to]) => expect.soft(from).not.toReach(to))])
  })
})

describe('ingress from outside the cluster', needs('agent:network-policy', 'agent:cilium-network-policy', 'node:exec'), () => {
  test('is by prefix: what is in one, but not in its exceptions', async ({ pods, outside, policies }) => {
    const { client1, a1, a2, b1, b2 } = pods
    const [one, two, three] = [outside.client(outside.one), outside.client(outside.two), outside.client(outside.three)]
    await Promise.all([
      policies.cilium('from-prefix', { endpointSelector: slotA, ingress: [{ fromCIDRSet: [{ cidr: outside.prefix, except: ['10.9.2.0/25'] }] }] }, [a1, a2]),
      policies.network('from-block', { podSelector: slotB, policyTypes: ['Ingress'], ingress: [{ _from: [{ ipBlock: { cidr: outside.prefix, except: ['10.9.2.0/24'] } }], ports: [{ port: PORT, protocol: 'TCP' }] }] }, [b1, b2]),
    ])
    const allowed = [[one, a1], [three, a1], [one, b1]] as const
    const denied = [[two, a1, PORT], [three, b1, PORT], [one, b1, OTHER_PORT], [client1, a1, PORT]] as const
    await Promise.all([...allowed.map(([from, to]) => expect.soft(from).toReach(to)), ...denied.map(([from, to, port]) => expect.soft(from).not.toReach(to, { port }))])
  })

  test('is by entity: the world is whoever is no part of the cluster', async ({ pods, outside, nodes, policies }) => {
    const { client1, client2, a1, a2, b1, b2 } = pods
    const [world, host] = [outside.client(outside.one), nodes.find(({ name }) => name === a1.node) ?? expect.fail('no such node')]
    const from = (entity: string, to: object, selects: readonly Pod[]) => policies.cilium(`from-${entity}`, { endpointSelector: to, ingress: [{ fromEntities: [entity] }] }, selects)
    await Promise.all([from('world', slotA, [a1, a2]), from('cluster', slotB, [b1, b2]), from('host', { matchLabels: { app: 'client' } }, [client1, client2])])
    const allowed = [[world, a1], [client2, b1], [host, b1], [host, client1]] as const
    const denied = [[client2, a1], [world, b1], [world, client1], [a2, client1]] as const
    await Promise.all([...allowed.map(([client, to]) => expect.soft(client).toReach(to)), ...denied.map(([client, to]) => expect.soft(client).not.toReach(to))])
  })
})

describe('fromRequires', needs('agent:cilium-network-policy'), () => {
  test('lets nobody in itself, and keeps out whom another rule would let in', async ({ pods, policies }) => {
    const { client1, a1, a2, b1, b2 } = pods
    const required = { fromRequires: [{ matchLabels: { app: 'client' } }] }
    await Promise.all([
      policies.cilium('required', { endpointSelector: slotA, ingress: [{ fromEndpoints: [{}] }, required] }, [a1, a2]),
      policies.cilium('only-required', { endpointSelector: slotB, ingress: [required] }, [b1, b2]),
    ])
    await Promise.all([expect.soft(client1).toReach(a1), expect.soft(b1).not.toReach(a1), expect.soft(b2).not.toReach(a1), expect.soft(client1).not.toReach(b1)])
  })
})

describe('types of ICMP', needs('agent:icmp-policy'), () => {
  test('are opened to the peers that a rule names, and nothing else is', async ({ pods, policies }) => {
    const { client1, a1, a2, b1 } = pods
    await policies.cilium('echo', { endpointSelector: slotA, ingress: [{ fromEndpoints: [{ matchLabels: { app: 'client' } }], icmps: [{ fields: [{ family: 'IPv4', type: 8 }] }] }] }, [a1, a2])
    await Promise.all([expect.soft(client1).toReach(a1, { protocol: 'icmp' }), expect.soft(client1).not.toReach(a1), expect.soft(b1).not.toReach(a1, { protocol: 'icmp' })])
  })
})
