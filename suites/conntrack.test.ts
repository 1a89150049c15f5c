import { describe, expect, needs, PORT, test as base, type AgentOnNode, type Pod } from '../fixtures/index.ts'

/** Cilium's name of old for reason 157; IPv4 has the same number. */
const FRAGMENT = 157
const CLOSED = 9
/** Short ones, one after the other. */
const MANY = 100
/** Both ends have sent their last. */
const CLOSING = 3

/** TCP connections from one pod to PORT of another, as an agent lists them. */
async function connections(agent: AgentOnNode, from: Pod, to: Pod): Promise<{ side: string; from: string; expires: number; closing: boolean }[]> {
  const { stdout } = await agent.exec(['bpf', 'ct', 'list', 'global'])
  const line = new RegExp(String.raw`^TCP (?<side>IN|OUT) (?<from>${from.ip}:\d+) -> ${to.ip}:${PORT} +expires=(?<expires>-?\d+) .*\bflags=(?:0x)?(?<flags>[0-9a-f]+)`, 'gm')
  return [...stdout.matchAll(line)].map(({ groups: { side = '', from: local = '', expires = '', flags = '' } = {} }) => ({ side, from: local, expires: Number(expires), closing: (parseInt(flags, 16) & CLOSING) === CLOSING }))
}

/** Connections that were made and closed when the file began: their time passes while its other tests run. How many of them the nodes of both ends listed then. */
const test = base.extend('spent', { scope: 'file', auto: true }, async ({ run, pods, agents }) => {
  if (run.agent.capabilities['conntrack-list'] !== true) return { made: [], listed: [] }
  const { client1, a2 } = pods
  const made = (await client1.attempt(a2.ip, { protocol: 'tcp', port: PORT, times: MANY, timeoutMs: 10_000 })).map(({ local }) => local)
  const listed = await Promise.all([client1, a2].map(async (pod) => (await connections(agents.byNode.get(pod.node)!, client1, a2)).filter(({ from }) => made.includes(from)).length))
  return { made, listed }
})

describe('fragments', needs('agent:drops-fragments', 'agent:monitor', 'node:exec'), () => {
  test('are dropped as that, and none arrives', async ({ pods, nodes, monitor }) => {
    const { a1, a2 } = pods
    const node = nodes.find(({ name }) => name === a1.node) ?? expect.fail('no such node')
    // Datagrams that fit are answered, so it is their being cut that counts.
    const ping = (ip: string, size: number) => node.exec(`ping -n -c 1 -W 2 -s ${size} ${ip}`, { allowFailure: true }).then(({ exitCode }) => exitCode)
    for (const pod of [a1, a2]) expect.soft(await ping(pod.ip, 1000)).toBe(0)
    const window = await monitor.during(async () => {
      for (const exitCode of await Promise.all([a1, a2].map(({ ip }) => ping(ip, 4000)))) expect.soft(exitCode).not.toBe(0)
    })
    for (const pod of [a1, a2]) {
      expect.soft(window).toContainDrop({ reason: FRAGMENT, to: pod.ip, node: node.name })
      expect.soft(window).not.toContainFlow({ from: { name: 'host', ip: node.ip }, to: pod, protocol: 'icmp', via: ['to-endpoint'] })
    }
  })
})

describe('an ICMP error', needs('agent:network-policy'), () => {
  test('reaches the pod whose packet it is about, past a policy that lets nobody in', async ({ pods, policies }) => {
    const { client1, a1, a2 } = pods
    await policies.network('nobody', { podSelector: { matchLabels: { app: 'client' } }, policyTypes: ['Ingress'] }, [client1, pods.client2])
    for (const server of [a1, a2]) {
      const [attempt] = await client1.attempt(server.ip, { protocol: 'udp', port: CLOSED, times: 1, timeoutMs: 5000 })
      expect.soft(attempt).toMatchObject({ ok: false, error: 'refused' })
    }
  })
})

describe('the connection table', needs('agent:conntrack-list', 'agent:tunnel'), () => {
  test('has a connection on the nodes of both ends, open and then closing', async ({ pods, agent }) => {
    const { client1, a2 } = pods
    const listed = (pod: Pod) => connections(agent(pod.node), client1, a2)
    const open = async (pod: Pod) => (await listed(pod)).filter(({ closing, expires }) => !closing && expires > 300).map(({ side, from }) => `${side} ${from}`)
    const release = await client1.hold(a2.ip, PORT)
    try {
      await expect.poll(() => open(client1), { timeout: 15_000, interval: 300 }).toHaveLength(1)
      await expect.poll(() => open(a2), { timeout: 15_000, interval: 300 }).toHaveLength(1)
    } catch (error) {
      await release()
      throw error
    }
    const seen = [...await open(client1), ...await open(a2)]
    const { local, error } = await release()
    expect(error).toBeUndefined()
    expect(seen).toEqual([`OUT ${local}`, `IN ${local}`])
    for (const pod of [client1, a2]) await expect.poll(async () => (await listed(pod)).find(({ from }) => from === local)?.closing ?? true, { timeout: 15_000, interval: 300 }).toBe(true)
  })

  // Its connections were made as this file began.
  test('forgets connections that have ended', async ({ pods, agent, spent }) => {
    const { client1, a2 } = pods
    // Those that were made first may have gone by then.
    for (const listed of spent.listed) expect(listed).toBeGreaterThan(MANY / 2)
    const left = async () => (await Promise.all([client1, a2].map((pod) => connections(agent(pod.node), client1, a2)))).flat().filter(({ from }) => spent.made.includes(from)).length
    await expect.poll(left, { timeout: 150_000, interval: 1000 }).toBe(0)
  })
})
