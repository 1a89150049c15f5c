import { describe, expect, needs, PORT, sureToReachAll, test, type Pod, type Service } from '../fixtures/index.ts'

const app = { app: 'server' }
const times = sureToReachAll(4)
const EXTERNAL = '10.9.77.1'

/** The service at another address: what must answer stays the same. */
const at = (service: Service, ip: string) => ({ ...service, ip })
const seenAs = (reply: string) => reply.replace(/^.*\|(.*):\d+$/, '$1')

describe.each(['tcp', 'udp'] as const)('a %s service with a node port', needs('agent:node-port', 'node:network'), (protocol) => {
  test('is answered at every node by every backend, to pods and nodes', async ({ services, pods, nodes, agents }) => {
    const service = await services.create({ name: 'node-port', protocol, port: 80, selector: app, nodePort: true })
    try {
      const criteria = nodes.map(({ ip }) => ({ ...service.criteria, frontend: `${ip}:${service.nodePort}` }))
      await Promise.all([...agents.byNode.values()].map((agent) => expect(agent).toListLoadBalancer([service.criteria, ...criteria])))
      const options = { protocol, port: service.nodePort, times }
      for (const node of nodes) await Promise.all([pods.client1, pods.client2].map((client) => expect.soft(client).toReachAll(at(service, node.ip), options)))
      // A node asks itself, and the other one: as a client outside would. Some backends are here and some there; how they are spread is seen above.
      await Promise.all(nodes.map(async (client) => {
        for (const node of nodes) await expect.soft(client).toReach(at(service, node.ip), { protocol, port: service.nodePort, times: 2, timeoutMs: 15_000 })
      }))
    } finally {
      await services.remove(service)
    }
  })
})

describe('a service with an external address', needs('agent:node-port', 'node:network'), () => {
  test('is answered there', async ({ services, pods, agents }) => {
    const service = await services.create({ name: 'external', protocol: 'tcp', port: 81, selector: app, externalIPs: [EXTERNAL] })
    try {
      await Promise.all([...agents.byNode.values()].map((agent) => expect(agent).toListLoadBalancer([{ ...service.criteria, frontend: `${EXTERNAL}:81` }])))
      await Promise.all([pods.client1, pods.client2].map((client) => expect(client).toReachAll(at(service, EXTERNAL), { protocol: 'tcp', port: 81, times })))
    } finally {
      await services.remove(service)
    }
  })
})

describe('a service with session affinity', needs('agent:session-affinity'), () => {
  test('gives each client one backend for all of its connections', async ({ services, pods, agents }) => {
    const service = await services.create({ name: 'affine', protocol: 'tcp', port: 82, selector: app, affinity: 600 })
    try {
      await Promise.all([...agents.byNode.values()].map((agent) => expect(agent).toListLoadBalancer([service.criteria])))
      const answers = (client: Pod) => client.attempt(service.ip, { protocol: 'tcp', port: 82, times, timeoutMs: 10_000 })
      for (const client of [pods.client1, pods.client2]) {
        const names = (await answers(client)).map(({ reply, error }) => error ?? reply.split('|')[0])
        expect.soft(new Set(names).size, `${client.name} was answered by ${names.join(', ')}`).toBe(1)
        expect.soft(service.answersAs).toContain(names[0])
      }
    } finally {
      await services.remove(service)
    }
  })
})

describe('a pod that is its own backend', needs('agent:services'), () => {
  test('reaches itself through the service', async ({ services, pods, agents }) => {
    const service = await services.create({ name: 'self', protocol: 'tcp', port: 83, selector: { app: 'server', slot: 'a' } })
    try {
      await Promise.all([...agents.byNode.values()].map((agent) => expect(agent).toListLoadBalancer([service.criteria])))
      await expect(pods.a1).toReachAll(service, { protocol: 'tcp', port: 83, times: sureToReachAll(2) })
    } finally {
      await services.remove(service)
    }
  })
})

describe('services of the command line', needs('agent:service-cli', 'own-agent'), () => {
  test('are made, changed, listed and deleted, and serve', async ({ pods, nodes, agent }) => {
    const { client1, a1, b1, b2 } = pods
    const node = nodes.find(({ name }) => name === client1.node) ?? expect.fail('no such node')
    const cilium = (...argv: string[]) => agent(node).exec(argv).then(({ stdout }) => stdout)
    const [ip, id] = ['10.96.77.77', '4077']
    const update = (...backends: Pod[]) => cilium('service', 'update', '--id', id, '--frontend', `${ip}:80`, '--backends', backends.map((pod) => `${pod.ip}:${PORT}`).join(','))
    const service = (...backends: Pod[]) => ({ name: 'by hand', ip, receivers: backends, answersAs: backends.map(({ name }) => name) })
    const criteria = (...backends: Pod[]) => [{ frontend: `${ip}:80`, backends: backends.map((pod) => `${pod.ip}:${PORT}`) }]
    try {
      expect.soft(await update(a1, b2)).toMatch(/Added service with 2 backends/)
      await expect(agent(node)).toListLoadBalancer(criteria(a1, b2))
      await expect(agent(node)).toListService(criteria(a1, b2))
      await expect.soft(client1).toReachAll(service(a1, b2), { protocol: 'tcp', port: 80, times: sureToReachAll(2) })
      expect.soft(await update(b1)).toMatch(/1 backends/)
      await expect.soft(client1).toReachAll(service(b1), { protocol: 'tcp', port: 80, times: sureToReachAll(2) })
      expect.soft(await cilium('service', 'get', id)).toContain(`${ip}:80`)
    } finally {
      await cilium('service', 'delete', id)
    }
    await expect(agent(node)).not.toListService(criteria(b1))
  })
})

describe('a backend', needs('agent:node-port', 'node:network'), () => {
  test('sees the address of a client that came by another node', async ({ services, pods, nodes, agents }) => {
    const service = await services.create({ name: 'seen', protocol: 'tcp', port: 84, selector: { app: 'server', slot: 'a' }, nodePort: true })
    try {
      await Promise.all([...agents.byNode.values()].map((agent) => expect(agent).toListLoadBalancer([{ ...service.criteria, frontend: `${nodes[0]!.ip}:${service.nodePort}` }])))
      const attempts = await pods.client2.attempt(nodes[0]!.ip, { protocol: 'tcp', port: service.nodePort, times: 6, timeoutMs: 10_000 })
      expect(attempts.map(({ reply, error }) => error ?? seenAs(reply))).toEqual(Array(6).fill(pods.client2.ip))
    } finally {
      await services.remove(service)
    }
  })
})
