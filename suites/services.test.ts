import { describe, expect, needs, PORT, sureToReachAll, test as base, type AgentOnNode, type Service } from '../fixtures/index.ts'

const PROTOCOLS = ['tcp', 'udp'] as const
/** For four backends; with two it is more than enough. */
const times = sureToReachAll(4)

/** Until every node's datapath has the services. */
async function realized(agents: readonly AgentOnNode[], services: readonly Service[]): Promise<void> {
  await Promise.all(agents.map((agent) => expect(agent).toListLoadBalancer(services.map(({ criteria }) => criteria))))
}

/** A TCP and a UDP service over the four servers, two on each node, once every agent has them in its datapath (`bpf lb list`). */
const test = base.extend('web', { scope: 'file' }, async ({ services, agents }, { onCleanup }) => {
  const app = { app: 'server' }
  const [tcp, udp] = await Promise.all([
    services.create({ name: 'web', protocol: 'tcp', port: 80, selector: app }),
    services.create({ name: 'dns', protocol: 'udp', port: 53, selector: app }),
  ])
  onCleanup(async () => {
    await Promise.all([services.remove(tcp), services.remove(udp)])
  })
  const all = [...agents.byNode.values()]
  await realized(all, [tcp, udp])
  return { tcp, udp, agents: all }
})

describe('services', needs('agent:services'), () => {
  test('are listed by every agent with the backends of their Endpoints, as they are in the datapath', async ({ web: { tcp, udp, agents } }) => {
    await Promise.all(agents.map((agent) => expect(agent).toListService([tcp.criteria, udp.criteria])))
  })

  test('send nothing new to backends that were removed, and use those that were added', async ({ services, pods, web: { agents } }) => {
    const clients = [pods.client1, pods.client2]
    const reachAll = (list: readonly Service[], least = 0) => Promise.all(list.flatMap((service) => clients.map((client) => expect.soft(client).toReachAll(service, { protocol: service.protocol, port: service.port, times, least }))))
    const before = await Promise.all(PROTOCOLS.map((protocol) => services.create({ name: `changing-${protocol}`, protocol, port: 8000, selector: { app: 'server' } })))
    try {
      await realized(agents, before)
      const removed = await Promise.all(before.map((service) => services.select(service, { app: 'server', slot: 'a' })))
      await realized(agents, removed)
      // As often as it takes to meet one that was removed.
      await reachAll(removed, times)
      const added = await Promise.all(removed.map((service) => services.select(service, { app: 'server' })))
      await realized(agents, added)
      await reachAll(added)
    } finally {
      await Promise.all(before.map((service) => services.remove(service)))
    }
    await Promise.all(agents.map((agent) => expect(agent).not.toListLoadBalancer(before.map(({ criteria }) => criteria))))
  })
})

describe('a connection through a service', needs('agent:services'), () => {
  test('goes on while other endpoints of the service come and go', async ({ services, pods, web: { agents } }) => {
    const [own, all] = [{ app: 'server', slot: 'a' }, { app: 'server' }]
    let service = await services.create({ name: 'churning', protocol: 'tcp', port: 8001, selector: own })
    try {
      await realized(agents, [service])
      const held = await Promise.all([pods.client1, pods.client1, pods.client2, pods.client2].map((client) => client.hold(service.ip, service.port)))
      for (const selector of [all, own, all, own]) {
        service = await services.select(service, selector)
        await realized(agents, [service])
      }
      const ended = await Promise.all(held.map((release) => release()))
      expect(ended.map(({ ok, error }) => error ?? ok)).toEqual(held.map(() => true))
      for (const { reply } of ended) expect.soft(service.answersAs).toContain(reply.split('|')[0])
    } finally {
      await services.remove(service)
    }
  })
})

describe('a service without a cluster IP', needs('agent:services'), () => {
  test('is in no table', async ({ services, web: { agents } }) => {
    const frontends = async (agent: AgentOnNode) => new Set((await agent.services()).map(({ frontend }) => frontend))
    const before = await Promise.all(agents.map(frontends))
    const headless = await services.create({ name: 'headless', protocol: 'tcp', port: 8002, selector: { app: 'server' }, headless: true })
    // What comes later is there: so the agents know of both.
    const later = await services.create({ name: 'later', protocol: 'tcp', port: 8003, selector: { app: 'server' } })
    try {
      await realized(agents, [later])
      for (const [i, agent] of agents.entries()) {
        const added = [...await frontends(agent)].filter((frontend) => !before[i]?.has(frontend))
        expect.soft(added).toEqual([later.criteria.frontend])
      }
    } finally {
      await Promise.all([services.remove(headless), services.remove(later)])
    }
  })
})

describe('the weights of backends', needs('agent:service-weights', 'agent:service-cli', 'own-agent'), () => {
  test('are their shares of new connections', async ({ pods, nodes, agent }) => {
    const { client1, a1, b2 } = pods
    const node = nodes.find(({ name }) => name === client1.node) ?? expect.fail('no such node')
    const [ip, id] = ['10.96.77.78', '4078']
    try {
      await agent(node).exec(['service', 'update', '--id', id, '--frontend', `${ip}:80`, '--backends', `${a1.ip}:${PORT}/1,${b2.ip}:${PORT}/7`])
      const attempts = await client1.attempt(ip, { protocol: 'tcp', port: 80, times: 100, timeoutMs: 10_000 })
      const answers = Map.groupBy(attempts, ({ reply, error }) => error ?? reply.split('|')[0])
      expect([...answers.keys()].sort()).toEqual([a1.name, b2.name])
      // 12.5 of 100 are its share, with a standard deviation of 3.3; without weights 50, with 5.
      expect(answers.get(a1.name)?.length).toBeLessThan(32)
    } finally {
      await agent(node).exec(['service', 'delete', id])
    }
  })
})

describe.each(PROTOCOLS)('a %s service', needs('agent:services'), (protocol) => {
  test('is answered by every backend, of both nodes, from both nodes', async ({ web, pods }) => {
    await Promise.all([pods.client1, pods.client2].map((client) => expect.soft(client).toReachAll(web[protocol], { protocol, port: web[protocol].port, times })))
  })

  test('answers from its own address, and its backends see the client', async ({ web, pods }) => {
    const service = web[protocol]
    const attempts = await pods.client1.attempt(service.ip, { protocol, port: service.port, times: 8, timeoutMs: 10_000 })
    expect(attempts.map(({ remote, error }) => error ?? remote)).toEqual(Array(8).fill(`${service.ip}:${service.port}`))
    expect(attempts.map(({ reply }) => reply.replace(/^.*\|(.*):\d+$/, '$1'))).toEqual(Array(8).fill(pods.client1.ip))
  })
})

describe('connections through a service', needs('agent:services', 'agent:monitor', 'node:network'), () => {
  test('are seen in the monitor with the identities of client and backend', async ({ web, pods, monitor }) => {
    const window = await monitor.during(() => pods.client1.attempt(web.tcp.ip, { protocol: 'tcp', port: 80, times: 1, timeoutMs: 10_000 }))
    const backend = pods.servers.find(({ name }) => window.result[0]?.reply.startsWith(`${name}|`))
    expect(backend, `a server answered: ${JSON.stringify(window.result)}`).toBeDefined()
    if (backend) expect(window).toContainFlow({ from: pods.client1, to: backend, protocol: 'tcp', port: 8080, via: ['to-endpoint'], state: 'new' })
    expect(window).not.toContainDrop({ from: pods.client1 })
  })
})
