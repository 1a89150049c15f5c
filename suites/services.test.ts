import { describe, expect, sureToReachAll, test as base, type AgentOnNode, type Service } from '../fixtures/index.ts'

const times = sureToReachAll(4)

/** A TCP and a UDP service over the four servers, two on each node. */
const test = base.extend('web', { scope: 'file' }, async ({ services }, { onCleanup }) => {
  const app = { app: 'server' }
  const [tcp, udp] = await Promise.all([
    services.create({ name: 'web', protocol: 'tcp', port: 80, selector: app }),
    services.create({ name: 'dns', protocol: 'udp', port: 53, selector: app }),
  ])
  onCleanup(async () => {
    await Promise.all([services.remove('web'), services.remove('dns')])
  })
  return { tcp, udp }
})

/** Until every node's datapath has the service. */
async function realized(service: Service, agents: readonly AgentOnNode[]): Promise<void> {
  await Promise.all(agents.map((agent) => expect(agent).toListLoadBalancer(service.criteria)))
}

describe.each(['tcp', 'udp'] as const)('a %s service', (protocol) => {
  test('is listed by every agent with the backends of its Endpoints, and so in the datapath', async ({ web, nodes, agent }) => {
    await Promise.all(nodes.flatMap((node) => [
      expect(agent(node)).toListService(web[protocol].criteria),
      expect(agent(node)).toListLoadBalancer(web[protocol].criteria),
    ]))
  })

  test('is answered by every backend, of both nodes, from both nodes', async ({ web, pods, nodes, agent }) => {
    const service = web[protocol]
    await realized(service, nodes.map((node) => agent(node)))
    await Promise.all([pods.client1, pods.client2].map((client) => expect(client).toReachAll(service, { protocol, port: service.port, times })))
  })

  test('answers from its own address, and its backends see the client', async ({ web, pods, nodes, agent }) => {
    const service = web[protocol]
    await realized(service, nodes.map((node) => agent(node)))
    const attempts = await pods.client1.attempt(service.ip, { protocol, port: service.port, times: 8, timeoutMs: 10_000 })
    expect(attempts.map(({ remote, error }) => error ?? remote)).toEqual(Array(8).fill(`${service.ip}:${service.port}`))
    expect(attempts.map(({ reply }) => reply.replace(/^.*\|(.*):\d+$/, '$1'))).toEqual(Array(8).fill(pods.client1.ip))
  })

  test('sends nothing new to a backend that was removed, and uses one that was added', async ({ services, pods, nodes, agent }) => {
    const agents = nodes.map((node) => agent(node))
    const before = await services.create({ name: `changing-${protocol}`, protocol, port: 8000, selector: { app: 'server' } })
    try {
      await realized(before, agents)
      const removed = await services.select(before, { app: 'server', slot: 'a' })
      await realized(removed, agents)
      await Promise.all([pods.client1, pods.client2].map((client) => expect(client).toReachAll(removed, { protocol, port: 8000, times: sureToReachAll(4) })))
      const added = await services.select(removed, { app: 'server' })
      await realized(added, agents)
      await expect(pods.client2).toReachAll(added, { protocol, port: 8000, times })
    } finally {
      await services.remove(before.name)
    }
    await Promise.all(agents.map((one) => expect(one).not.toListLoadBalancer(before.criteria)))
  })
})

describe('connections through a service', () => {
  test('are seen in the monitor with the identities of client and backend, never of an address', async ({ web, pods, monitor, nodes, agent }) => {
    await realized(web.tcp, nodes.map((node) => agent(node)))
    const window = await monitor.during(() => pods.client1.attempt(web.tcp.ip, { protocol: 'tcp', port: 80, times: 1, timeoutMs: 10_000 }))
    const backend = pods.servers.find(({ name }) => window.result[0]?.reply.startsWith(`${name}|`))
    expect(backend, `a server answered: ${JSON.stringify(window.result)}`).toBeDefined()
    if (backend) expect(window).toContainFlow({ from: pods.client1, to: backend, protocol: 'tcp', port: 8080, via: ['to-endpoint'], state: 'new' })
    expect(window).not.toContainDrop({ from: pods.client1 })
  })
})
