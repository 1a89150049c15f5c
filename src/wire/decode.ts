/** Frames from bytes: Ethernet, 802.1Q, ARP, IPv4, IPv6, TCP, UDP, ICMP, VXLAN (RFC 7348) and Geneve (RFC 8926). Never throws on short or odd frames. */
import type { Frame } from './types.ts'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }
type Draft = Mutable<Frame>

const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, qinq: 0x88a8, ipv6: 0x86dd } as const
const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 } as const
/** Hop-by-hop, routing, destination options, mobility: a next header and a length in 8-byte units. */
const IPV6_OPTIONS: ReadonlySet<number> = new Set([0, 43, 60, 135])
const IPV6_FRAGMENT = 44
/** 8472 is Linux's and Cilium's VXLAN port, 4789 IANA's. */
const VXLAN_PORTS: ReadonlySet<number> = new Set([8472, 4789])
const GENEVE_PORT = 6081

/** `52:54:00:77:00:01` from a 48-bit number. */
export const formatMac = (mac: number): string => mac.toString(16).padStart(12, '0').replace(/..(?=.)/g, '$&:')

/** Decodes one Ethernet frame. `length` is its length on the wire when `data` is truncated. */
export function decodeFrame(data: Buffer, timeNs: bigint, port: string | ((src: string) => string), length = data.length): Frame {
  const src = data.length >= 12 ? formatMac(data.readUIntBE(6, 6)) : ''
  const dst = data.length >= 6 ? formatMac(data.readUIntBE(0, 6)) : ''
  const frame: Draft = { timeNs, port: typeof port === 'string' ? port : port(src), src, dst, etherType: 0, length }
  let at = 12
  while (data.length >= at + 2) {
    frame.etherType = data.readUInt16BE(at)
    at += 2
    if ((frame.etherType !== ETHERTYPE.vlan && frame.etherType !== ETHERTYPE.qinq) || data.length < at + 4) break
    frame.vlan ??= data.readUInt16BE(at) & 0x0fff
    at += 2
  }
  const rest = data.subarray(at)
  if (frame.etherType === ETHERTYPE.ipv4) decodeIpv4(rest, frame)
  else if (frame.etherType === ETHERTYPE.ipv6) decodeIpv6(rest, frame)
  else if (frame.etherType === ETHERTYPE.arp) decodeArp(rest, frame)
  return frame
}

function decodeArp(data: Buffer, frame: Draft): void {
  if (data.length < 28) return
  frame.arp = { operation: data.readUInt16BE(6), senderMac: formatMac(data.readUIntBE(8, 6)), senderIp: formatIpv4(data, 14), targetMac: formatMac(data.readUIntBE(18, 6)), targetIp: formatIpv4(data, 24) }
}

function decodeIpv4(data: Buffer, frame: Draft): void {
  const headerLength = ((data[0] ?? 0) & 0x0f) * 4
  if (data.length < 20 || headerLength < 20) return
  const protocol = data[9] ?? 0
  frame.ip = { version: 4, src: formatIpv4(data, 12), dst: formatIpv4(data, 16), protocol, ttl: data[8] ?? 0 }
  const fragmentOffset = data.readUInt16BE(6) & 0x1fff
  // The total length leaves out the padding of short Ethernet frames.
  if (fragmentOffset === 0) decodeL4(protocol, data.subarray(headerLength, Math.max(headerLength, data.readUInt16BE(2))), frame)
}

function decodeIpv6(data: Buffer, frame: Draft): void {
  if (data.length < 40) return
  let protocol = data[6] ?? 0
  let at = 40
  let firstFragment = true
  while (data.length >= at + 8 && (IPV6_OPTIONS.has(protocol) || protocol === IPV6_FRAGMENT)) {
    if (protocol === IPV6_FRAGMENT) firstFragment = data.readUInt16BE(at + 2) >> 3 === 0
    const length = protocol === IPV6_FRAGMENT ? 8 : ((data[at + 1] ?? 0) + 1) * 8
    protocol = data[at] ?? 0
    at += length
  }
  frame.ip = { version: 6, src: formatIpv6(data.subarray(8, 24)), dst: formatIpv6(data.subarray(24, 40)), protocol, ttl: data[7] ?? 0 }
  if (firstFragment) decodeL4(protocol, data.subarray(at, 40 + data.readUInt16BE(4)), frame)
}

function decodeL4(protocol: number, data: Buffer, frame: Draft): void {
  if ((protocol === PROTOCOL.icmp || protocol === PROTOCOL.icmpv6) && data.length >= 4) decodeIcmp(data, frame)
  if (protocol === PROTOCOL.tcp && data.length >= 20) {
    const offset = ((data[12] ?? 0) >> 4) * 4
    frame.l4 = { srcPort: data.readUInt16BE(0), dstPort: data.readUInt16BE(2), tcpFlags: data[13] ?? 0, payload: data.subarray(offset) }
  }
  if (protocol === PROTOCOL.udp && data.length >= 8) decodeUdp(data, frame)
}

function decodeIcmp(data: Buffer, frame: Draft): void {
  const type = data[0] ?? 0
  const echo = [0, 8, 128, 129].includes(type) && data.length >= 8
  frame.icmp = { type, code: data[1] ?? 0, ...(echo ? { id: data.readUInt16BE(4), sequence: data.readUInt16BE(6) } : {}) }
}

function decodeUdp(data: Buffer, frame: Draft): void {
  const dstPort = data.readUInt16BE(2)
  const payload = data.subarray(8)
  frame.l4 = { srcPort: data.readUInt16BE(0), dstPort, payload }
  if (VXLAN_PORTS.has(dstPort) && payload.length >= 8 && (payload[0] ?? 0) & 0x08) {
    frame.tunnel = { kind: 'vxlan', vni: payload.readUIntBE(4, 3), inner: decodeFrame(payload.subarray(8), frame.timeNs, frame.port) }
  }
  if (dstPort === GENEVE_PORT && payload.length >= 8 && (payload[0] ?? 0) >> 6 === 0) decodeGeneve(payload, frame)
}

function decodeGeneve(payload: Buffer, frame: Draft): void {
  const TRANSPARENT_ETHERNET = 0x6558
  if (payload.readUInt16BE(2) !== TRANSPARENT_ETHERNET) return
  const optionBytes = ((payload[0] ?? 0) & 0x3f) * 4
  frame.tunnel = { kind: 'geneve', vni: payload.readUIntBE(4, 3), inner: decodeFrame(payload.subarray(8 + optionBytes), frame.timeNs, frame.port) }
}

const formatIpv4 = (data: Buffer, at: number): string => data.subarray(at, at + 4).join('.')

/** RFC 5952: lower case, the longest run of two or more zero groups as `::`. */
export function formatIpv6(data: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => data.readUInt16BE(i * 2).toString(16))
  const runs = groups.map((_, start) => {
    const end = groups.findIndex((group, i) => i >= start && group !== '0')
    return { start, length: (end === -1 ? 8 : end) - start }
  })
  const best = runs.reduce((a, b) => (b.length > a.length ? b : a))
  if (best.length < 2) return groups.join(':')
  return `${groups.slice(0, best.start).join(':')}::${groups.slice(best.start + best.length).join(':')}`
}
