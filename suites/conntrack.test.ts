import { describe, expect, needs, test } from '../fixtures/index.ts'

/** Cilium's name of old for reason 157; IPv4 has the same number. */
const FRAGMENT = 157
const CLOSED = 9

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
