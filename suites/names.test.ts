import { describe, expect, needs, OUTSIDE_PORT, test, type Pod, type Target } from '../fixtures/index.ts'

const DENIED = ['Policy denied (L3)', 'Policy denied (L4)', 'Policy denied (CIDR)']
const NAME = 'db.suites.example'
const client = { matchLabels: { app: 'client' } }
const to = (matchName: string) => ({ endpointSelector: client, egress: [{ toFQDNs: [{ matchName }] }] })
/** Agents ask every 5 s and more. */
const followed = { timeout: 60_000 }

const reaches = async (from: Pod, { ip }: Target): Promise<boolean> => (await from.attempt(ip, { protocol: 'tcp', port: OUTSIDE_PORT, times: 1, timeoutMs: 1500 })).every(({ ok }) => ok)

describe('egress to names', needs('agent:cilium-network-policy', 'agent:fqdn-policy', 'agent:services', 'agent:monitor', 'node:exec', 'node:ssh-server', 'dns-address'), () => {
  test('is to the addresses that a name has, and to those that it has got since', async ({ pods, policies, names, outside, monitor }) => {
    const { client1, client2, a1 } = pods
    await names.serve({ [NAME]: [outside.one.ip] })
    await policies.cilium('to-name', to(NAME), [client1, client2], 'egress')
    await expect.poll(() => reaches(client1, outside.one), followed).toBe(true)
    const window = await monitor.during(async () => {
      expect.soft(await reaches(client1, outside.two)).toBe(false)
      await expect.soft(client1).not.toReach(a1)
    })
    expect.soft(window).toContainDrop({ reason: DENIED, from: client1, to: outside.two.ip, protocol: 'tcp', dstPort: OUTSIDE_PORT, node: client1.node })
    await names.serve({ [NAME]: [outside.two.ip, outside.three.ip] })
    await expect.poll(async () => (await Promise.all([outside.two, outside.three].map((target) => reaches(client1, target)))).every(Boolean), followed).toBe(true)
    await expect.soft(client1).not.toReach(a1)
  })

  test('that don\'t exist is to nothing, until they do', async ({ pods, policies, names, outside }) => {
    const { client1, client2 } = pods
    await names.serve({ 'other.suites.example': [outside.one.ip] })
    await policies.cilium('to-nobody', to('new.suites.example'), [client1, client2], 'egress')
    expect(await reaches(client1, outside.one)).toBe(false)
    await names.serve({ 'new.suites.example': [outside.one.ip] })
    await expect.poll(() => reaches(client1, outside.one), followed).toBe(true)
    expect.soft(await reaches(client1, outside.two)).toBe(false)
  })
})
