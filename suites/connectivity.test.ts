import { describe, expect, needs, PORT, test } from '../fixtures/index.ts'

/** Every node serves it; its server forks before it greets, which takes long on a busy emulated node. */
const SSH = 22

describe.each(['tcp', 'udp', 'icmp'] as const)('%s', (protocol) => {
  test('reaches the pods of both nodes, from both nodes', async ({ pods }) => {
    // One after the other: to a pod that pings two others at once, each answer is one to both.
    for (const server of [pods.a1, pods.b2]) await Promise.all([pods.client1, pods.client2].map((client) => expect.soft(client).toReach(server, { protocol })))
  })
})

describe.each(['tcp', 'udp', 'icmp'] as const)('%s between pods', needs('agent:monitor', 'node:network'), (protocol) => {
  const port = protocol === 'icmp' ? {} : { port: PORT }
  // Conntrack knows ICMP by its type, not by its id: a second echo request within the timeout is of an established flow.
  const state = protocol === 'icmp' ? {} : { state: 'new' as const }

  test('of one node: both directions are seen, with identities and states', async ({ pods, monitor }) => {
    const window = await monitor.during(() => expect(pods.client1).toReach(pods.a1, { protocol }))
    expect(window).toContainFlow({ from: pods.client1, to: pods.a1, protocol, ...port, ...state, via: ['from-endpoint', 'to-endpoint'], bothDirections: true })
    expect(window).not.toContainDrop({ from: pods.client1, to: pods.a1, protocol })
  })

  test('of different nodes: both directions are seen on both nodes, through the overlay', async ({ pods, monitor }) => {
    const window = await monitor.during(() => expect(pods.client1).toReach(pods.a2, { protocol }))
    expect(window).toContainFlow({ from: pods.client1, to: pods.a2, protocol, ...port, ...state, via: ['from-endpoint', 'to-overlay', 'from-overlay', 'to-endpoint'], bothDirections: true })
    expect(window).not.toContainDrop({ from: pods.client1, to: pods.a2, protocol })
    expect(window).not.toContainDrop({ from: pods.a2, to: pods.client1, protocol })
  })
})

describe('connections', () => {
  test('are established after their first packet, and answers are replies', needs('agent:monitor', 'node:network'), async ({ pods, monitor }) => {
    const window = await monitor.during(() => expect(pods.client2).toReach(pods.b1, { times: 5 }))
    expect(window).toContainFlow({ from: pods.client2, to: pods.b1, protocol: 'tcp', port: PORT, via: ['to-endpoint'], state: 'established', bothDirections: true })
  })

  test('are seen by the server with the address of the client', async ({ pods }) => {
    const attempts = (await Promise.all([pods.a1, pods.a2].map((server) => pods.client1.attempt(server.ip, { protocol: 'tcp', port: PORT, times: 1, timeoutMs: 10_000 })))).flat()
    expect(attempts.map(({ reply, local }) => reply.split('|')[1] === local && local.startsWith(`${pods.client1.ip}:`))).toEqual([true, true])
  })
})

describe('identities', needs('agent:identities'), () => {
  test('are one for each set of labels, the same on both nodes, and named by the agent', async ({ pods, agent, nodes }) => {
    expect(pods.client1.identity).toBe(pods.client2.identity)
    expect(pods.a1.identity).toBe(pods.a2.identity)
    expect(new Set([pods.client1, pods.a1, pods.b1].map(({ identity }) => identity)).size).toBe(3)
    await Promise.all(nodes.map(async (node) => {
      const labels = new Map((await agent(node).identities()).map((row) => [row.id, row.labels]))
      expect(labels.get(pods.client1.identity)).toContain('k8s:app=client')
      expect(labels.get(pods.a1.identity)).toEqual(expect.arrayContaining(['k8s:app=server', 'k8s:slot=a']))
    }))
  })
})

describe('pods and hosts', () => {
  test('a pod reaches its own node', needs('node:ssh-server'), async ({ pods, nodes }) => {
    const node = nodes.find(({ name }) => name === pods.client1.node) ?? expect.fail('no such node')
    await expect(pods.client1).toReach(node, { port: SSH, timeoutMs: 15_000 })
    await expect(pods.client1).toReach(node, { protocol: 'icmp' })
  })

  test('a pod\'s way to its own node is seen', needs('agent:monitor', 'node:network', 'node:ssh-server'), async ({ pods, nodes, monitor }) => {
    const node = nodes.find(({ name }) => name === pods.client1.node) ?? expect.fail('no such node')
    const window = await monitor.during(() => expect(pods.client1).toReach(node, { port: SSH, timeoutMs: 15_000 }))
    expect(window).toContainFlow({ from: pods.client1, to: node, protocol: 'tcp', port: SSH, via: ['from-endpoint', 'to-host'] })
  })

  test('a pod reaches the other node', needs('node:ssh-server'), async ({ pods, nodes }) => {
    const node = nodes.find(({ name }) => name === pods.client2.node) ?? expect.fail('no such node')
    await expect(pods.client1).toReach(node, { port: SSH, timeoutMs: 15_000 })
    await expect(pods.client1).toReach(node, { protocol: 'icmp' })
  })

  test('a node reaches its own pods', needs('node:network'), async ({ pods, nodes }) => {
    const node = nodes.find(({ name }) => name === pods.a1.node) ?? expect.fail('no such node')
    for (const protocol of ['tcp', 'udp', 'icmp'] as const) await expect(node).toReach(pods.a1, { protocol })
  })

  test('a node\'s way to its own pods is seen, as the host identity', needs('agent:monitor', 'node:network'), async ({ pods, nodes, monitor }) => {
    const node = nodes.find(({ name }) => name === pods.a1.node) ?? expect.fail('no such node')
    const window = await monitor.during(() => node.attempt(pods.a1.ip, { protocol: 'tcp', port: PORT, times: 1, timeoutMs: 10_000 }))
    const [attempt] = window.result
    expect(attempt).toMatchObject({ ok: true, reply: expect.stringMatching(`^${pods.a1.name}\\|`) as string })
    const host = { name: `${node.name}'s host`, ip: attempt?.reply.split('|')[1]?.replace(/:\d+$/, '') ?? '', identity: 1 }
    expect(window).toContainFlow({ from: host, to: pods.a1, protocol: 'tcp', port: PORT, via: ['to-endpoint'] })
  })

  test('a node reaches pods of the other node', needs('node:network'), async ({ pods, nodes }) => {
    const node = nodes.find(({ name }) => name === pods.a1.node) ?? expect.fail('no such node')
    for (const protocol of ['tcp', 'udp', 'icmp'] as const) await expect(node).toReach(pods.a2, { protocol })
  })
})
