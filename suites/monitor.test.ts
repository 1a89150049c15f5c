import { describe, expect, needs, PORT, test, type AgentOnNode, type Listener, type Pod } from '../fixtures/index.ts'

const slotA = { matchLabels: { slot: 'a' } }
/** Datagrams to where nobody listens, from one CPU: more events than its ring holds, and none by others. */
const MANY = 2000
const CLOSED = 9

describe('two monitors at a time', needs('agent:monitor', 'node:network'), () => {
  test('see the same', async ({ pods, listeners, monitor }) => {
    const { client1, a1, a2 } = pods
    const second = await listeners.second()
    // Answered when all of it has happened: nothing of it comes after the inner window.
    const outer = await second.during(() => monitor.during(() => Promise.all([a1, a2].map((server) => expect(client1).toReach(server, { protocol: 'udp' })))))
    const inner = outer.result
    const ends = new Set([client1, a1, a2].map(({ ip }) => ip))
    const lines = ({ events }: Pick<typeof inner, 'events'>, node: string) =>
      events.flatMap((event) => (event.type === 'trace' && event.node === node && event.summary.proto === 'udp' && ends.has(event.summary.src ?? '') && ends.has(event.summary.dst ?? '') ? [event.raw] : [])).sort()
    for (const { node } of [client1, a2]) {
      expect(lines(inner, node).length).toBeGreaterThanOrEqual(4)
      expect(lines(outer, node)).toEqual(lines(inner, node))
    }
  })
})

describe('events that the rings have no room for', needs('agent:lost-events', 'agent:monitor', 'node:exec'), () => {
  test('are told by their number, and later ones come', async ({ pods, nodes, ringReader, monitor }) => {
    const { a1, client1 } = pods
    const node = nodes.find(({ name }) => name === a1.node) ?? expect.fail('no such node')
    const window = await monitor.during(async () => {
      await ringReader.hold(node)
      // Long ones: of a datagram as much as an event holds is in the ring.
      await node.exec(`bash -c 'taskset -pc 0 $$ >/dev/null; exec 3>/dev/udp/${a1.ip}/${CLOSED}; for i in $(seq ${MANY}); do printf %0200d $i >&3; done; true' 2>/dev/null`)
      await ringReader.release()
    })
    const lost = window.events.reduce((sum, event) => sum + (event.type === 'lost' && event.node === node.name ? event.count : 0), 0)
    const seen = window.events.filter((event) => event.type === 'trace' && event.point === 'to-endpoint' && event.node === node.name && event.summary.dst === a1.ip && event.summary.dstPort === CLOSED).length
    expect(seen).toBeLessThan(MANY)
    expect(lost).toBeGreaterThanOrEqual(MANY - seen)
    expect(window.gaps.join('; ')).toContain(`of ${node.name} lost`)
    const next = await monitor.during(() => expect(client1).toReach(a1))
    expect(next.gaps).toEqual([])
    expect(next).toContainFlow({ from: client1, to: a1, protocol: 'tcp', port: PORT, via: ['to-endpoint'] })
  })
})

describe('events of the agent', needs('agent:agent-events', 'agent:cilium-network-policy', 'agent:config-cli'), () => {
  test('tell of policies that come and go, and of endpoints that are regenerated', async ({ pods, nodes, policies, agent, listeners }) => {
    const { a1, a2 } = pods
    const node = nodes.find(({ name }) => name === a1.node) ?? expect.fail('no such node')
    const listener = await listeners.open(node, ['monitor', '--type', 'agent'])
    const told = async (about: RegExp, message: object) => expect.poll(() => listener.events().flatMap((event) => (event.type === 'agent' && about.test(event.subtype) ? [event.message] : [])), { timeout: 15_000, interval: 200 }).toContainEqual(expect.objectContaining(message))
    const policy = await policies.cilium('told', { endpointSelector: slotA, ingress: [{}] }, [a1, a2])
    await told(/^policy updated$/i, { rule_count: expect.any(Number) as number, revision: expect.any(Number) as number })
    await told(/^endpoint regenerated$/i, { id: a1.endpoint })
    await policy.remove()
    await told(/^policy deleted$/i, { revision: expect.any(Number) as number })
    expect(listener.events().filter(({ type }) => type !== 'agent')).toEqual([])
    await agent(node).exec(['endpoint', 'regenerate', String(pods.b1.endpoint)])
    await told(/^endpoint regenerated$/i, { id: pods.b1.endpoint })
  })
})

describe('debug messages', needs('agent:agent-events', 'agent:config-cli'), () => {
  test('are those of the endpoint that was asked for, and of no other', async ({ pods, nodes, agent, listeners }) => {
    const { a1, b1, client2 } = pods
    const node = nodes.find(({ name }) => name === a1.node) ?? expect.fail('no such node')
    const listener = await listeners.open(node, ['monitor', '--verbose', '--type', 'debug'])
    for (const [pod, other] of [[a1, b1], [b1, a1]] as const) {
      await debugging(agent(node), pod, async () => {
        const before = listener.events().length
        // Of the other one first: what it told would be there before what is waited for.
        for (const from of [other, pod, pod]) await expect(from).toReach(client2)
        await expect.poll(() => sources(listener, before), { timeout: 15_000, interval: 200 }).toContain(pod.endpoint)
        expect(sources(listener, before)).not.toContain(other.endpoint)
      })
    }
  })
})

describe('packets are captured', needs('agent:captures', 'agent:config-cli'), () => {
  test('as they come to the load-balancer: for the service, by the interface of the pod', needs('agent:services'), async ({ pods: { client1 }, services, nodes, agent, listeners }) => {
    const node = nodes.find(({ name }) => name === client1.node) ?? expect.fail('no such node')
    const service = await services.create({ name: 'captured', protocol: 'tcp', port: 80, selector: { app: 'server' } })
    try {
      await expect(agent(node)).toListLoadBalancer(service.criteria)
      const listener = await listeners.open(node, ['monitor', '--type', 'capture'])
      await debugging(agent(node), client1, async () => {
        const [attempt] = await client1.attempt(service.ip, { protocol: 'tcp', port: service.port, times: 1, timeoutMs: 10_000 })
        expect(attempt?.error).toBeUndefined()
        const packet = expect.objectContaining({ src: client1.ip, dst: service.ip, dstPort: service.port }) as object
        await expect.poll(() => captures(listener), { timeout: 15_000, interval: 200 }).toContainEqual(expect.objectContaining({ prefix: expect.stringMatching(/^<- load-balancer \S+$/) as string, summary: packet }))
      })
      // It says whose they are only by their addresses.
      expect(captures(listener).filter(({ prefix, summary }) => prefix.startsWith('<- load-balancer') && summary.src !== client1.ip)).toEqual([])
    } finally {
      await services.remove(service)
    }
  })

  test('as they leave for the proxy, which listens at the port that is told', needs('agent:http-policy'), async ({ pods: { a1, a2, client1 }, policies, nodes, agent, listeners }) => {
    const node = nodes.find(({ name }) => name === a1.node) ?? expect.fail('no such node')
    await policies.cilium('read', { endpointSelector: slotA, ingress: [{ toPorts: [{ ports: [{ port: String(PORT), protocol: 'TCP' }], rules: { http: [{ method: 'GET' }] } }] }] }, [a1, a2])
    const listener = await listeners.open(node, ['monitor', '--type', 'capture'])
    await debugging(agent(node), a1, async () => {
      expect(await client1.request(a1.ip, { method: 'PUT', path: '/', host: 'a1', port: PORT })).toMatchObject({ reply: '403 Access denied' })
      const toProxy = () => captures(listener).flatMap(({ prefix, summary }) => (prefix.startsWith('-> proxy port ') && summary.src === client1.ip ? [`${prefix}: ${summary.dstPort}`] : []))
      await expect.poll(toProxy, { timeout: 15_000, interval: 200 }).not.toEqual([])
      expect(toProxy()).toEqual(toProxy().map(() => expect.stringMatching(/^-> proxy port (\d+): \1$/) as string))
    })
  })
})

/** Has an endpoint tell debug messages while a step runs. */
async function debugging(agent: AgentOnNode, { endpoint }: Pod, step: () => Promise<void>): Promise<void> {
  const set = (value: string) => agent.exec(['endpoint', 'config', String(endpoint), `Debug=${value}`])
  await set('enable')
  try {
    await step()
  } finally {
    await set('disable')
  }
}

const captures = (listener: Listener) => listener.events().flatMap((event) => (event.type === 'capture' ? [event] : []))
const sources = (listener: Listener, from: number): number[] => listener.events().slice(from).flatMap((event) => (event.type === 'debug' && event.source !== undefined ? [event.source] : []))
