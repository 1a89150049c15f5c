import { describe, expect, needs, PORT, test } from '../fixtures/index.ts'

describe('the kernel of every node', () => {
  test('has all that the catalogue says kernels of its line must have', needs('node:features'), ({ features }) => {
    expect(features.tables).not.toEqual([])
    expect(features.deviations).toEqual([])
  })
})

// Before 5.7 generic XDP lets cloned packets pass unseen, and what a pod sends is cloned, for the packet socket that counts arrivals in every pod. The links of 5.9 tell the later kernels.
describe.each([
  { mode: 'generic', needed: needs('attach:xdp-generic', 'attach:xdp-link', 'agent:monitor', 'node:exec') },
  { mode: 'native', needed: needs('attach:xdp-native', 'agent:monitor', 'node:exec') },
] as const)('an XDP program ($mode) on the device of a pod', ({ mode, needed }) => {
  test('takes packets before the agent sees them, and only those it is for', needed, async ({ pods, xdp, monitor }) => {
    const udp = { from: pods.client1, to: pods.a1, protocol: 'udp', port: PORT, via: ['from-endpoint'] } as const
    const program = await xdp.dropUdpOf(pods.client1, mode)
    const taken = await monitor.during(() => expect.soft(pods.client1).not.toReach(pods.a1, { protocol: 'udp' }))
    expect.soft(taken).not.toContainFlow(udp)
    await expect.soft(pods.client1).toReach(pods.a1, { protocol: 'icmp' })

    await program.remove()
    const seen = await monitor.during(() => expect(pods.client1).toReach(pods.a1, { protocol: 'udp' }))
    expect(seen).toContainFlow(udp)
  })
})
