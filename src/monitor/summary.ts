import { hostPort } from '../core/host-port.ts'
import type { PacketSummary, Protocol } from './types.ts'

const FLAGS = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR', 'NS']
const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i

/** `10.0.0.1:80`, `[fd00::1]:80`, `fd00::1` or a MAC, into address and port. */
function endOf(text: string): { address: string; port?: number } {
  const bracketed = /^\[(.+)\](?::(\d+))?$/.exec(text)
  const found = bracketed ?? (MAC.test(text) ? null : /^([^:]+):(\d+)$/.exec(text))
  if (!found) return { address: text }
  return { address: found[1] ?? text, ...(found[2] === undefined ? {} : { port: Number(found[2]) }) }
}

/** Parses Cilium's one-line packet summary: `ip:port -> ip:port tcp SYN, ACK`, `… udp`, `ip -> ip EchoRequest`, `mac -> mac ARP`, `[unknown]`. */
export function parseSummary(text: string): PacketSummary {
  const found = /^(\S+) -> (\S+)(?: (.*))?$/.exec(text.trim())
  if (!found) return { proto: 'unknown', text: text.trim() }
  const [src, dst] = [endOf(found[1] ?? ''), endOf(found[2] ?? '')]
  const rest = (found[3] ?? '').trim()
  const [word = ''] = rest.split(/\s+/)
  const ends = {
    src: src.address,
    dst: dst.address,
    ...(src.port === undefined ? {} : { srcPort: src.port }),
    ...(dst.port === undefined ? {} : { dstPort: dst.port }),
    text: text.trim(),
  }
  switch (word.toLowerCase()) {
    case 'tcp':
      return { proto: 'tcp', ...ends, flags: rest.slice(3).split(',').map((flag) => flag.trim()).filter(Boolean) }
    case 'udp':
      return { proto: 'udp', ...ends }
    case 'sctp':
      return { proto: 'unknown', ...ends }
    case 'icmp':
      // Its name stands before its type from 1.16 on.
      return { proto: src.address.includes(':') ? 'icmpv6' : 'icmp', ...ends, icmpType: rest.slice('icmp'.length).trim() }
    case 'arp':
      return { proto: 'arp', ...ends }
    case '':
      return { proto: 'unknown', ...ends }
    default:
      return MAC.test(src.address) ? { proto: 'unknown', ...ends } : { proto: src.address.includes(':') ? 'icmpv6' : 'icmp', ...ends, icmpType: rest }
  }
}

/** `IPv4\t{Contents=[..20..] SrcIP=10.0.0.1 …}` into the layer's name and fields; undefined for any other text. */
export function parseLayer(text: string): { layer: string; fields: Record<string, string> } | undefined {
  const found = /^([A-Za-z0-9 ]+?)\s+\{(.*)\}\s*$/s.exec(text)
  if (!found) return undefined
  const fields: Record<string, string> = {}
  // Values are words, bracketed lists (which may nest and hold spaces), or nothing (`Flags= FragOffset=0`).
  for (const [, key, value] of (found[2] ?? '').matchAll(/(\w+)=(\[(?:[^[\]]|\[[^\]]*\])*\]|[^\s]*)/g)) if (key !== undefined) fields[key] = value ?? ''
  return { layer: found[1] ?? '', fields }
}

/** Port of gopacket's `8080(http-alt)`. */
const portOf = (text: string | undefined): number | undefined => {
  const number = Number.parseInt(text ?? '', 10)
  return Number.isNaN(number) ? undefined : number
}

/** Builds the summary from decoded layers, by gopacket's layer names in lower case (`ethernet`, `ipv4`, `tcp`, `icmpv4`, …). */
export function summaryOfLayers(layers: ReadonlyMap<string, Readonly<Record<string, string>>>): PacketSummary {
  const ip = layers.get('ipv4') ?? layers.get('ipv6')
  const ethernet = layers.get('ethernet')
  const src = ip?.['SrcIP'] ?? ethernet?.['SrcMAC']
  const dst = ip?.['DstIP'] ?? ethernet?.['DstMAC']
  const ends = { ...(src === undefined ? {} : { src }), ...(dst === undefined ? {} : { dst }) }
  const transport = layers.get('tcp') ?? layers.get('udp')
  if (transport) {
    const [srcPort, dstPort] = [portOf(transport['SrcPort']), portOf(transport['DstPort'])]
    const ports = { ...(srcPort === undefined ? {} : { srcPort }), ...(dstPort === undefined ? {} : { dstPort }) }
    const flags = FLAGS.filter((flag) => transport[flag] === 'true')
    return withText(layers.has('tcp') ? { proto: 'tcp', ...ends, ...ports, flags } : { proto: 'udp', ...ends, ...ports })
  }
  const icmp = layers.get('icmpv4') ?? layers.get('icmpv6')
  if (icmp) return withText({ proto: layers.has('icmpv4') ? 'icmp' : 'icmpv6', ...ends, icmpType: icmp['TypeCode'] ?? '' })
  const proto: Protocol = layers.has('arp') || ethernet?.['EthernetType'] === 'ARP' ? 'arp' : 'unknown'
  return withText({ proto, ...ends })
}

/** Adds the one-line text in Cilium's form. */
export function withText(summary: Omit<PacketSummary, 'text'>): PacketSummary {
  if (summary.src === undefined || summary.dst === undefined) return { ...summary, text: '[unknown]' }
  const end = (address: string, port: number | undefined): string => (port === undefined ? address : hostPort(address, port))
  const tail = summary.proto === 'tcp' ? `tcp ${(summary.flags ?? []).join(', ')}`.trim() : summary.proto === 'arp' ? 'ARP' : summary.icmpType ?? (summary.proto === 'unknown' ? '' : summary.proto)
  return { ...summary, text: `${end(summary.src, summary.srcPort)} -> ${end(summary.dst, summary.dstPort)} ${tail}`.trim() }
}
