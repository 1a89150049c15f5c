import { describe, expect, needs, OTHER_PORT, PORT, test } from '../fixtures/index.ts'

/** Which of the two a denial for the wrong port is differs between versions; a denial for the wrong identity is always L3. */
const L3 = 'Policy denied (L3)'
const L3_OR_L4 = [L3, 'Policy denied (L4)']

const fromClients = { podSelector: { matchLabels: { app: 'client' } } }
const slotA = { matchLabels: { slot: 'a' } }

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
