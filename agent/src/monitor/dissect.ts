import { layerString, lazy, stringer, type Fields } from './gopacket.ts'
import { etherType, icmpTypeCode, ipProtocol, ipv4Flags, ipv6, portName, tcpOption } from './names.ts'

/** One decoded header: its name, gopacket's rendering, and its endpoints (where it has any). */
export interface Layer { name: 'Ethernet' | 'IPv4' | 'IPv6' | 'TCP' | 'UDP' | 'ICMPv4' | 'ICMPv6'; text: string; src?: string; dst?: string; info?: string }
export interface Dissection { layers: Layer[]; truncated: boolean }

interface Next { layer: Layer; next?: (payload: Buffer, out: Dissection) => void; payload: Buffer }

/** Decodes as far as Cilium's monitor does: Ethernet, IPv4, IPv6, TCP, UDP, ICMP; ARP ends after Ethernet. Never throws. */
export function dissect(packet: Buffer): Dissection {
  const out: Dissection = { layers: [], truncated: false }
  step(ethernet, packet, out)
  return out
}

function step(decode: (data: Buffer, out: Dissection) => Next | undefined, data: Buffer, out: Dissection): void {
  const result = decode(data, out)
  if (result === undefined) { out.truncated = true; return }
  out.layers.push(result.layer)
  result.next?.(result.payload, out)
}

const then = (decode: (data: Buffer, out: Dissection) => Next | undefined) => (payload: Buffer, out: Dissection) => step(decode, payload, out)

function render(name: Layer['name'], contents: Buffer, payload: Buffer, fields: Fields): string {
  return `${name}\t${layerString({ Contents: contents, Payload: payload, ...fields })}`
}

function ethernet(data: Buffer): Next | undefined {
  if (data.length < 14) return undefined
  const [dst, src, type, payload] = [mac(data, 0), mac(data, 6), data.readUInt16BE(12), data.subarray(14)]
  const text = render('Ethernet', data.subarray(0, 14), payload, { SrcMAC: stringer(src), DstMAC: stringer(dst), EthernetType: stringer(etherType(type)), Length: 0 })
  const layer: Layer = { name: 'Ethernet', text, src, dst, info: etherType(type) }
  if (type === 0x0800) return { layer, payload, next: then(ipv4) }
  if (type === 0x86dd) return { layer, payload, next: then(ipv6Header) }
  return { layer, payload }
}

function ipv4(data: Buffer, out: Dissection): Next | undefined {
  if (data.length < 20) return undefined
  const header = (data[0]! & 0x0f) * 4
  const length = data.readUInt16BE(2)
  if (header < 20 || header > data.length || length < header) return undefined
  if (length > data.length) out.truncated = true
  const payload = data.subarray(header, Math.min(length, data.length))
  const [flagsOffset, protocol, src, dst] = [data.readUInt16BE(6), data[9]!, dotted(data, 12), dotted(data, 16)]
  const fragment = flagsOffset & 0x1fff
  const text = render('IPv4', data.subarray(0, header), payload, {
    Version: data[0]! >> 4, IHL: header / 4, TOS: data[1]!, Length: length, Id: data.readUInt16BE(4), Flags: stringer(ipv4Flags(flagsOffset >> 13)),
    FragOffset: fragment, TTL: data[8]!, Protocol: stringer(ipProtocol(protocol)), Checksum: data.readUInt16BE(10),
    SrcIP: stringer(src), DstIP: stringer(dst), Options: ipv4Options(data.subarray(20, header)), Padding: [],
  })
  const layer: Layer = { name: 'IPv4', text, src, dst }
  const next = fragment === 0 ? { 6: then(tcp), 17: then(udp), 1: then(icmpv4) }[protocol] : undefined
  return next === undefined ? { layer, payload } : { layer, payload, next }
}

function ipv4Options(data: Buffer): Fields[string] {
  const options = []
  for (let at = 0; at < data.length;) {
    const type = data[at]!
    const length = type < 2 ? 1 : Math.max(data[at + 1] ?? 0, 2)
    options.push(stringer(`IPv4Option(${type}:[${type < 2 ? '' : [...data.subarray(at + 2, at + length)].join(' ')}])`))
    if (type === 0) break
    at += length
  }
  return options
}

function ipv6Header(data: Buffer, out: Dissection): Next | undefined {
  if (data.length < 40) return undefined
  const length = data.readUInt16BE(4)
  if (40 + length > data.length) out.truncated = true
  const payload = data.subarray(40, Math.min(40 + length, data.length))
  const [first, protocol, src, dst] = [data.readUInt32BE(0), data[6]!, ipv6(data.subarray(8, 24)), ipv6(data.subarray(24, 40))]
  const text = render('IPv6', data.subarray(0, 40), payload, {
    Version: first >>> 28, TrafficClass: (first >>> 20) & 0xff, FlowLabel: first & 0xfffff, Length: length, NextHeader: stringer(ipProtocol(protocol)),
    HopLimit: data[7]!, SrcIP: stringer(src), DstIP: stringer(dst), HopByHop: stringer('nil'),
  })
  const next = { 6: then(tcp), 17: then(udp), 58: then(icmpv6) }[protocol]
  const layer: Layer = { name: 'IPv6', text, src, dst }
  return next === undefined ? { layer, payload } : { layer, payload, next }
}

function tcp(data: Buffer, out: Dissection): Next | undefined {
  if (data.length < 20) return undefined
  const end = (data[12]! >> 4) * 4
  if (end < 20) return undefined
  const whole = end <= data.length
  if (!whole) out.truncated = true
  const [contents, payload] = whole ? [data.subarray(0, end), data.subarray(end)] : [data, Buffer.alloc(0)]
  const bits = data[13]!
  const [src, dst] = [data.readUInt16BE(0), data.readUInt16BE(2)]
  const { options, padding } = whole ? tcpOptions(data.subarray(20, end)) : { options: [], padding: Buffer.alloc(0) }
  const text = render('TCP', contents, payload, {
    SrcPort: stringer(portName('tcp', src)), DstPort: stringer(portName('tcp', dst)), Seq: data.readUInt32BE(4), Ack: data.readUInt32BE(8), DataOffset: end / 4,
    FIN: (bits & 1) !== 0, SYN: (bits & 2) !== 0, RST: (bits & 4) !== 0, PSH: (bits & 8) !== 0, ACK: (bits & 16) !== 0, URG: (bits & 32) !== 0,
    ECE: (bits & 64) !== 0, CWR: (bits & 128) !== 0, NS: (data[12]! & 1) !== 0,
    Window: data.readUInt16BE(14), Checksum: data.readUInt16BE(16), Urgent: data.readUInt16BE(18), Options: options, Padding: padding,
  })
  const flags = [bits & 2 ? 'SYN' : '', bits & 16 ? 'ACK' : '', bits & 4 ? 'RST' : '', bits & 1 ? 'FIN' : ''].filter(Boolean)
  return { layer: { name: 'TCP', text, src: String(src), dst: String(dst), info: flags.join(', ') }, payload }
}

function tcpOptions(data: Buffer): { options: ReturnType<typeof stringer>[]; padding: Buffer } {
  const options = []
  for (let at = 0; at < data.length;) {
    const kind = data[at]!
    if (kind === 0) return { options: [...options, stringer(tcpOption(0, Buffer.alloc(0)))], padding: data.subarray(at + 1) }
    const length = kind === 1 ? 1 : data[at + 1] ?? 0
    if (length === 0 || (kind !== 1 && length < 2) || at + length > data.length) break
    const content = data.subarray(at + 2, at + length)
    options.push(lazy(() => tcpOption(kind, kind === 1 ? Buffer.alloc(0) : content)))
    at += length
  }
  return { options, padding: Buffer.alloc(0) }
}

function udp(data: Buffer, out: Dissection): Next | undefined {
  if (data.length < 8) return undefined
  const length = data.readUInt16BE(4)
  if (length > data.length) out.truncated = true
  const payload = length === 0 ? data.subarray(8) : data.subarray(8, Math.min(length, data.length))
  const [src, dst] = [data.readUInt16BE(0), data.readUInt16BE(2)]
  const text = render('UDP', data.subarray(0, 8), payload, {
    SrcPort: stringer(portName('udp', src)), DstPort: stringer(portName('udp', dst)), Length: length, Checksum: data.readUInt16BE(6),
  })
  return { layer: { name: 'UDP', text, src: String(src), dst: String(dst) }, payload }
}

function icmpv4(data: Buffer): Next | undefined {
  if (data.length < 8) return undefined
  const info = icmpTypeCode(4, data[0]!, data[1]!)
  const payload = data.subarray(8)
  const text = render('ICMPv4', data.subarray(0, 8), payload, {
    TypeCode: stringer(info), Checksum: data.readUInt16BE(2), Id: data.readUInt16BE(4), Seq: data.readUInt16BE(6),
  })
  return { layer: { name: 'ICMPv4', text, info }, payload }
}

function icmpv6(data: Buffer): Next | undefined {
  if (data.length < 8) return undefined
  const info = icmpTypeCode(6, data[0]!, data[1]!)
  const payload = data.subarray(8)
  const text = render('ICMPv6', data.subarray(0, 8), payload, { TypeCode: stringer(info), Checksum: data.readUInt16BE(2), TypeBytes: data.subarray(4, 8) })
  return { layer: { name: 'ICMPv6', text, info }, payload }
}

function mac(data: Buffer, at: number): string {
  const hex = data.toString('hex', at, at + 6)
  return `${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4, 6)}:${hex.slice(6, 8)}:${hex.slice(8, 10)}:${hex.slice(10)}`
}

const dotted = (data: Buffer, at: number): string => `${data[at]}.${data[at + 1]}.${data[at + 2]}.${data[at + 3]}`
