import { describe, expect, test } from 'vitest'
import type { Frame } from '../wire/types.ts'
import { installMatchers } from './matchers.ts'

installMatchers()

const client = { name: 'client-1', ip: '10.244.0.7', identity: 300 }
const server = { name: 'server-a2', ip: '10.244.1.9', identity: 400 }
const base = { timeNs: 0n, port: 'node1', src: '52:54:00:77:00:01', dst: '52:54:00:77:00:02', etherType: 0x800, length: 100 }
const plain = (src: string, dst: string, protocol = 6): Frame => ({ ...base, ip: { version: 4, src, dst, protocol }, l4: { srcPort: 40000, dstPort: 8080, payload: Buffer.alloc(0) } })
const tunnel = (vni: number, inner: Frame): Frame => ({ ...base, ip: { version: 4, src: '192.168.77.11', dst: '192.168.77.12', protocol: 17 }, tunnel: { kind: 'vxlan', vni, inner } })
const failure = (assertion: Promise<void>): Promise<string> => assertion.then(() => expect.fail('it passed'), (error: unknown) => (error as Error).message)

const want = { kind: 'vxlan', vni: 300, from: client, to: server, protocol: 'tcp', outer: { src: '192.168.77.11', dst: '192.168.77.12' }, withinMs: 0 } as const

describe('toHaveTunnelFrames', () => {
  test('passes when the flow has the VNI in every frame, and waits for the first', async () => {
    await expect([tunnel(300, plain('10.244.0.7', '10.244.1.9'))]).toHaveTunnelFrames(want)
    let asked = 0
    const capture = { frames: () => Promise.resolve(asked++ ? [tunnel(300, plain('10.244.0.7', '10.244.1.9'))] : []) }
    await expect(capture).toHaveTunnelFrames({ ...want, withinMs: 2000 })
  })

  test('shows frames with another VNI, one is enough', async () => {
    const frames = [tunnel(300, plain('10.244.0.7', '10.244.1.9')), tunnel(1, plain('10.244.0.7', '10.244.1.9'))]
    expect(await failure(expect(frames).toHaveTunnelFrames(want))).toMatchInlineSnapshot(`
      "expected vxlan frames with VNI 300 from client-1 (10.244.0.7, identity 300) to server-a2 (10.244.1.9, identity 400), tcp, between 192.168.77.11 and 192.168.77.12

      this flow in a tunnel:
        1× 192.168.77.11 -> 192.168.77.12 udp vxlan vni 1 [10.244.0.7:40000 -> 10.244.1.9:8080 tcp]

      on the wire:
        2 frames, 2 of them in tunnels"
    `)
  })

  test('tells a tunnel of another protocol', async () => {
    expect(await failure(expect([tunnel(300, plain('10.244.0.7', '10.244.1.9'))]).toHaveTunnelFrames({ ...want, kind: 'geneve' }))).toMatch(/^expected geneve frames with VNI 300[^]*udp vxlan vni 300/)
  })

  test('shows the flow that went around the tunnel', async () => {
    expect(await failure(expect([plain('10.244.0.7', '10.244.1.9')]).toHaveTunnelFrames(want))).toContain('this flow without a tunnel:\n  1× 10.244.0.7:40000 -> 10.244.1.9:8080 tcp')
  })
})

describe('toHaveNoPlainFramesOf', () => {
  test('passes for tunnelled and foreign frames', async () => {
    await expect([tunnel(300, plain('10.244.0.7', '10.244.1.9')), plain('192.168.77.11', '192.168.77.12')]).toHaveNoPlainFramesOf(['10.244.0.0/16'])
  })

  test('shows packets and ARP with a pod address outside a tunnel', async () => {
    const arp: Frame = { ...base, etherType: 0x806, arp: { operation: 1, senderMac: '', senderIp: '192.168.77.11', targetMac: '', targetIp: '10.244.1.9' } }
    expect(await failure(expect([plain('10.244.0.7', '10.244.1.9'), plain('10.244.0.7', '10.244.1.9'), arp]).toHaveNoPlainFramesOf(['10.244.0.0/16']))).toMatchInlineSnapshot(`
      "expected no frame outside a tunnel with an address of 10.244.0.0/16

      seen:
        2× 10.244.0.7:40000 -> 10.244.1.9:8080 tcp
        1× arp 192.168.77.11 asks for 10.244.1.9

      on the wire:
        3 frames, 0 of them in tunnels"
    `)
  })
})
