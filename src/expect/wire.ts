import { setTimeout as delay } from 'node:timers/promises'
import ipaddr from 'ipaddr.js'
import type { Capture, Frame } from '../wire/types.ts'
import type { Verdict } from './events.ts'
import { atMost, compose, endText } from './message.ts'
import type { FlowEnd, Transport } from './types.ts'

/** A running capture, or frames of one. */
export type Frames = Pick<Capture, 'frames'> | readonly Frame[]

export interface TunnelCriteria {
  /** The only VNI that frames of this flow may have: the sender's identity. */
  readonly vni: number
  readonly from: FlowEnd
  readonly to: FlowEnd
  readonly protocol?: Transport
  /** Node addresses that the outer packet must have. */
  readonly outer?: { readonly src: string; readonly dst: string }
  readonly kind: 'vxlan' | 'geneve'
  /** Wait this long for the first frame. Default 3,000. */
  readonly withinMs?: number
}

const PROTOCOLS: Readonly<Record<Transport, readonly number[]>> = { tcp: [6], udp: [17], icmp: [1, 58] }
const names: Readonly<Record<number, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmpv6' }

const framesOf = async (from: Frames): Promise<readonly Frame[]> => ('frames' in from ? from.frames() : from)

/** One line for a frame, with what is inside a tunnel. */
export function frameText(frame: Frame): string {
  const end = (ip: string, port: number | undefined): string => (port === undefined ? ip : `${ip}:${port}`)
  const packet = frame.ip
    ? `${end(frame.ip.src, frame.l4?.srcPort)} -> ${end(frame.ip.dst, frame.l4?.dstPort)} ${names[frame.ip.protocol] ?? frame.ip.protocol}`
    : frame.arp ? `arp ${frame.arp.senderIp} asks for ${frame.arp.targetIp}` : `${frame.src} -> ${frame.dst} ethertype 0x${frame.etherType.toString(16)}`
  return frame.tunnel ? `${packet} ${frame.tunnel.kind} vni ${frame.tunnel.vni} [${frameText(frame.tunnel.inner)}]` : packet
}

/** Counts equal lines: `12× …`. */
function grouped(lines: readonly string[]): string[] {
  const counts = new Map<string, number>()
  for (const line of lines) counts.set(line, (counts.get(line) ?? 0) + 1)
  return [...counts].map(([line, n]) => `${n}× ${line}`)
}

/** Whether the flow's frames are on the wire in the tunnel, all of them with the VNI. */
export async function hasTunnelFrames(from: Frames, want: TunnelCriteria): Promise<Verdict> {
  const deadline = performance.now() + (want.withinMs ?? 3_000)
  const inner = (frame: Frame | undefined): boolean =>
    frame?.ip !== undefined && frame.ip.src === want.from.ip && frame.ip.dst === want.to.ip && (want.protocol === undefined || PROTOCOLS[want.protocol].includes(frame.ip.protocol))
  const good = (frame: Frame): boolean =>
    frame.tunnel !== undefined && frame.tunnel.kind === want.kind && frame.tunnel.vni === want.vni && (!want.outer || (frame.ip?.src === want.outer.src && frame.ip.dst === want.outer.dst))
  for (;;) {
    const frames = await framesOf(from)
    const flow = frames.filter((frame) => inner(frame.tunnel?.inner))
    const bad = flow.filter((frame) => !good(frame))
    if ((flow.length && bad.length === 0) || bad.length || performance.now() >= deadline) {
      const text = `${want.kind} frames with VNI ${want.vni} from ${endText(want.from)} to ${endText(want.to)}${want.protocol ? `, ${want.protocol}` : ''}${want.outer ? `, between ${want.outer.src} and ${want.outer.dst}` : ''}`
      const pass = flow.length > 0 && bad.length === 0
      const plain = frames.filter(inner)
      return {
        pass,
        message: () => compose(`expected ${pass ? 'no ' : ''}${text}`, [
          ['this flow in a tunnel', atMost(grouped((pass ? flow : bad).map(frameText)), 6)],
          ['this flow without a tunnel', atMost(grouped(plain.map(frameText)), 6)],
          ['on the wire', [`${frames.length} frames, ${frames.filter((frame) => frame.tunnel).length} of them in tunnels`]],
        ]),
      }
    }
    await delay(100)
  }
}

/** Whether no frame outside a tunnel has an address of the CIDRs, as IP or ARP. Only says something about traffic that the capture saw. */
export async function hasNoPlainFramesOf(from: Frames, cidrs: readonly string[]): Promise<Verdict> {
  const ranges = cidrs.map((cidr) => ipaddr.parseCIDR(cidr))
  const inside = (address: string | undefined): boolean => {
    if (address === undefined || !ipaddr.isValid(address)) return false
    const parsed = ipaddr.parse(address)
    return ranges.some((range) => range[0].kind() === parsed.kind() && parsed.match(range))
  }
  const frames = await framesOf(from)
  const leaks = frames.filter((frame) => !frame.tunnel && [frame.ip?.src, frame.ip?.dst, frame.arp?.senderIp, frame.arp?.targetIp].some(inside))
  return {
    pass: leaks.length === 0,
    message: () => compose(`expected ${leaks.length ? 'no' : 'some'} frame outside a tunnel with an address of ${cidrs.join(', ')}`, [
      ['seen', atMost(grouped(leaks.map(frameText)), 10)],
      ['on the wire', [`${frames.length} frames, ${frames.filter((frame) => frame.tunnel).length} of them in tunnels`]],
    ]),
  }
}
