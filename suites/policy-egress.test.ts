import { describe, expect, needs, OTHER_PORT, OUTSIDE_PORT, PORT, PORT_NAME, test } from '../fixtures/index.ts'

const DENIED = ['Policy denied (L3)', 'Policy denied (L4)', 'Policy denied (CIDR)']
const client = { matchLabels: { app: 'client' } }
const slotA = { matchLabels: { slot: 'a' } }
const port = { port: OUTSIDE_PORT, timeoutMs: 15_000 }
/** Not reached: one SYN and its first repetition. */
const denied = { port: OUTSIDE_PORT, timeoutMs: 1500 }

describe('egress by labels', needs('agent:network-policy', 'agent:cilium-network-policy', 'agent:monitor', 'node:network'), () => {
  test('lets the named peers and port out, drops all else at the sender, and lets replies out', async ({ pods, policies, monitor }) => {
    const { client1, a1, a2, b1, b2 } = pods
    await policies.cilium('to-a', { endpointSelector: client, egress: [{ toEndpoints: [slotA], toPorts: [{ ports: [{ port: String(PORT), protocol: 'TCP' }] }] }] }, [client1, pods.client2], 'egress')
    const allowed = await monitor.during(() => Promise.all([expect(client1).toReach(a1), expect(client1).toReach(a2), expect(b1).toReach(client1), expect(b2).toReach(client1)]))
    expect(allowed).not.toContainDrop({ from: client1 })
    const window = await monitor.during(() => Promise.all([
      expect.soft(client1).not.toReach(b1), expect.soft(client1).not.toReach(b2), expect.soft(client1).not.toReach(a1, { port: OTHER_PORT }), expect.soft(client1).not.toReach(a2, { protocol: 'udp' }),
      expect.soft(client1).not.toReach(a1, { protocol: 'icmp' }),
    ]))
    for (const { to, protocol, dstPort } of [
      { to: b1.ip, protocol: 'tcp', dstPort: PORT }, { to: b2.ip, protocol: 'tcp', dstPort: PORT }, { to: a1.ip, protocol: 'tcp', dstPort: OTHER_PORT }, { to: a2.ip, protocol: 'udp', dstPort: PORT },
    ] as const) expect.soft(window).toContainDrop({ reason: DENIED, from: client1, to, protocol, dstPort, node: client1.node })
    expect.soft(window).toContainDrop({ reason: DENIED, from: client1, to: a1.ip, protocol: 'icmp', node: client1.node })
  })

  test('by the name that the peer gives to its port', async ({ pods, policies }) => {
    await policies.network('to-web', { podSelector: client, policyTypes: ['Egress'], egress: [{ to: [{ podSelector: slotA }], ports: [{ port: PORT_NAME, protocol: 'TCP' }] }] }, [pods.client1, pods.client2], 'egress')
    await Promise.all([pods.a1, pods.a2].map((server) => expect(pods.client1).toReach(server)))
    await expect(pods.client1).not.toReach(pods.a1, { port: OTHER_PORT })
  })
})

describe('egress to prefixes', needs('agent:network-policy', 'agent:cilium-network-policy', 'agent:monitor', 'node:exec', 'node:ssh-server'), () => {
  test('of the world: the prefix, but not its exceptions', async ({ pods, policies, outside, monitor }) => {
    const { client1 } = pods
    await expect(client1).toReach(outside.one, port)
    await policies.cilium('to-prefix', { endpointSelector: client, egress: [{ toCIDRSet: [{ cidr: outside.prefix, except: ['10.9.2.0/25'] }] }] }, [client1, pods.client2], 'egress')
    await Promise.all([expect(client1).toReach(outside.one, port), expect(client1).toReach(outside.three, port)])
    const window = await monitor.during(() => Promise.all([expect.soft(client1).not.toReach(outside.two, denied), expect.soft(client1).not.toReach(pods.a1)]))
    expect.soft(window).toContainDrop({ reason: DENIED, from: client1, to: outside.two.ip, protocol: 'tcp', dstPort: OUTSIDE_PORT, node: client1.node })
  })

  test('that lie in each other, with ports: the longest counts', async ({ pods, policies, outside }) => {
    const { client1 } = pods
    const ports = [{ port: OUTSIDE_PORT, protocol: 'TCP' }]
    await policies.network('to-blocks', {
      podSelector: client, policyTypes: ['Egress'],
      egress: [{ to: [{ ipBlock: { cidr: outside.prefix, except: ['10.9.2.0/24'] } }], ports }, { to: [{ ipBlock: { cidr: '10.9.2.128/25' } }], ports }],
    }, [client1, pods.client2], 'egress')
    await Promise.all([expect(client1).toReach(outside.one, port), expect(client1).toReach(outside.three, port)])
    await Promise.all([expect.soft(client1).not.toReach(outside.two, denied), expect.soft(client1).not.toReach(outside.one, { protocol: 'icmp' })])
  })
})

describe('egress to services', needs('agent:cilium-network-policy', 'agent:services', 'agent:monitor', 'node:exec', 'node:ssh-server'), () => {
  test('that lead out of the cluster: their endpoints, by the service and without it, and no other', async ({ pods, policies, outside, services, monitor }) => {
    const { client1, client2 } = pods
    const service = await services.lead('outside', { ips: [outside.one.ip, outside.three.ip], port: OUTSIDE_PORT })
    try {
      await policies.cilium('to-service', { endpointSelector: client, egress: [{ toServices: [{ k8sService: { serviceName: service.name, namespace: client1.namespace } }] }] }, [client1, client2], 'egress')
      await Promise.all([service, outside.one, outside.three].map((target) => expect(client1).toReach(target, port)))
      const window = await monitor.during(() => Promise.all([expect.soft(client1).not.toReach(outside.two, denied), expect.soft(client1).not.toReach(pods.a1)]))
      expect.soft(window).toContainDrop({ reason: DENIED, from: client1, to: outside.two.ip, protocol: 'tcp', dstPort: OUTSIDE_PORT, node: client1.node })
    } finally {
      await services.remove(service)
    }
  })
})

describe('egress to entities', needs('agent:cilium-network-policy', 'node:exec', 'node:ssh-server'), () => {
  const cases: { entity: string; world: boolean; pod: boolean; host: boolean }[] = [
    { entity: 'world', world: true, pod: false, host: false },
    { entity: 'cluster', world: false, pod: true, host: true },
    { entity: 'host', world: false, pod: false, host: true },
    { entity: 'all', world: true, pod: true, host: true },
  ]
  test.for(cases)('$entity', async ({ entity, ...reached }, { pods, policies, outside, nodes }) => {
    const { client1, a2 } = pods
    const node = nodes.find(({ name }) => name === client1.node) ?? expect.fail('no such node')
    await policies.cilium(`to-${entity}`, { endpointSelector: client, egress: [{ toEntities: [entity] }] }, [client1, pods.client2], 'egress')
    const targets = [[reached.world, outside.one, OUTSIDE_PORT], [reached.pod, a2, PORT], [reached.host, node, OUTSIDE_PORT]] as const
    await Promise.all(targets.map(([wanted, target, to]) => (wanted ? expect.soft(client1).toReach(target, { ...port, port: to }) : expect.soft(client1).not.toReach(target, { ...denied, port: to }))))
  })
})

describe('a policy that changes', needs('agent:cilium-network-policy'), () => {
  test('lets nothing denied through while it does, and breaks nothing allowed', async ({ pods, policies }) => {
    const { client1, a1, b1 } = pods
    const spec = (more: object[]) => ({ endpointSelector: slotA, ingress: [{ fromEndpoints: [client] }, ...more] })
    const policy = await policies.cilium('changing', spec([]), [a1, pods.a2])
    const change = async () => {
      for (let i = 0; i < 12; i++) await policy.change(spec(i % 2 === 0 ? [{ fromCIDRSet: [{ cidr: '10.9.0.0/16', except: [`10.9.${i}.0/24`] }] }, { fromEndpoints: [{ matchLabels: { app: `x${i}` } }] }] : []))
    }
    await Promise.all([change(), expect.soft(client1).toReach(a1, { times: 60 }), expect.soft(b1).not.toReach(a1, { times: 5, timeoutMs: 1500 }), expect.soft(b1).not.toReach(a1, { protocol: 'udp', times: 30, timeoutMs: 250 })])
  })
})

describe('the status of a CiliumNetworkPolicy', needs('agent:cilium-network-policy', 'agent:policy-status'), () => {
  test('says on which nodes it is enforced, and why an invalid one is not', async ({ pods, policies, nodes }) => {
    const names = nodes.map(({ name }) => name)
    const policy = await policies.cilium('told', { endpointSelector: slotA, ingress: [{ fromEndpoints: [client] }] }, [pods.a1, pods.a2])
    await policies.status('told', names, ({ ok, enforcing }) => ok === true && enforcing === true)
    await policy.change({ endpointSelector: slotA, ingress: [{ toPorts: [{ ports: [{ port: '99999', protocol: 'TCP' }] }] }] })
    await policies.status('told', names, ({ ok, error }) => ok === false && /99999.*value out of range/.test(error ?? ''))
    // The version before is still in force.
    await Promise.all([expect(pods.client1).toReach(pods.a1), expect(pods.b1).not.toReach(pods.a1)])
  })
})
