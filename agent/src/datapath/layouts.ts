/** The structures of agent/bpf/lib/maps.h, byte for byte. Addresses and ports are in network order, everything else in the host's. */
import { addressBytes, ipv4Text, ipv6Text, isIPv6, macBytes, macText, parsePrefix, parsePrefix6 } from './address.ts'
import type { ConntrackEntry, PolicyAllow, Protocol, ProxyOrigin, Socket } from './types.ts'

const PROTOCOL_NUMBER: Record<Protocol, number> = { ANY: 0, ICMP: 1, TCP: 6, UDP: 17, ICMPv6: 58 }

export function protocolNumber(protocol: Protocol): number {
  return PROTOCOL_NUMBER[protocol]
}

function protocolName(number: number): Protocol {
  return (Object.keys(PROTOCOL_NUMBER) as Protocol[]).find((name) => PROTOCOL_NUMBER[name] === number) ?? 'ANY'
}

export const u32Key = (value: number): Buffer => { const b = Buffer.alloc(4); b.writeUInt32LE(value); return b }

export interface ConfigValue { debug: boolean; podCIDR: string; clusterCIDR: string; hostIfindex: number; overlayIfindex: number; /** Of cilium_host. */ hostMac: string; /** Of the prefixes in cilium_cidr: bit n - 1 for /n. */ prefixLengths: number }

export function encodeConfig(config: ConfigValue): Buffer {
  const pod = parsePrefix(config.podCIDR), cluster = parsePrefix(config.clusterCIDR)
  return Buffer.concat([u32Key(config.debug ? 1 : 0), pod.address, pod.mask, cluster.address, cluster.mask, u32Key(config.hostIfindex), u32Key(config.overlayIfindex), u32Key(config.prefixLengths), macBytes(config.hostMac), Buffer.alloc(2)])
}

/** Value of cilium_config6. */
export function encodeConfig6(podCIDR: string | undefined): Buffer {
  return podCIDR === undefined ? Buffer.alloc(16) : Buffer.concat([u32Key(1), parsePrefix6(podCIDR).address.subarray(0, 12)])
}

export const ENDPOINT_FLAG = { host: 1, enforceIngress: 2, enforceEgress: 4 } as const

/** Value of cilium_lxc; the key is the address. */
export interface EndpointValue { ifindex: number; id: number; flags: number; identity: number; mac: string; nodeMac: string }

export function encodeEndpoint(endpoint: EndpointValue): Buffer {
  const value = Buffer.alloc(32)
  value.writeUInt32LE(endpoint.ifindex, 0)
  value.writeUInt16LE(endpoint.id, 4)
  value.writeUInt32LE(endpoint.flags, 8)
  value.writeUInt32LE(endpoint.identity, 12)
  macBytes(endpoint.mac).copy(value, 16)
  macBytes(endpoint.nodeMac).copy(value, 22)
  return value
}

export function decodeEndpoint(value: Buffer): EndpointValue {
  return {
    ifindex: value.readUInt32LE(0), id: value.readUInt16LE(4), flags: value.readUInt32LE(8), identity: value.readUInt32LE(12),
    mac: macText(value, 16), nodeMac: macText(value, 22),
  }
}

export interface PolicyKey extends PolicyAllow { endpoint: number; egress: boolean }

export function encodePolicyKey(key: PolicyKey): Buffer {
  const bytes = Buffer.alloc(12)
  bytes.writeUInt32LE(key.identity, 0)
  bytes.writeUInt16LE(key.endpoint, 4)
  bytes.writeUInt16BE(key.port, 6)
  bytes.writeUInt8(protocolNumber(key.protocol), 8)
  bytes.writeUInt8(key.egress ? 1 : 0, 9)
  return bytes
}

export function decodePolicyKey(bytes: Buffer): PolicyKey {
  return {
    identity: bytes.readUInt32LE(0), endpoint: bytes.readUInt16LE(4), port: bytes.readUInt16BE(6), protocol: protocolName(bytes.readUInt8(8)),
    egress: bytes.readUInt8(9) !== 0,
  }
}

export interface PolicyValue { packets: number; bytes: number; proxyPort: number }

export function encodePolicyValue({ packets, bytes, proxyPort }: PolicyValue): Buffer {
  const value = Buffer.alloc(24)
  value.writeBigUInt64LE(BigInt(packets), 0)
  value.writeBigUInt64LE(BigInt(bytes), 8)
  value.writeUInt16BE(proxyPort, 16)
  return value
}

export function decodePolicyValue(value: Buffer): PolicyValue {
  return { packets: Number(value.readBigUInt64LE(0)), bytes: Number(value.readBigUInt64LE(8)), proxyPort: value.readUInt16BE(16) }
}

/** Key of cilium_proxy4 and cilium_proxy6: a connection as the proxy's socket sees it. Of IPv6 the addresses' last words tell. */
export function encodeProxyKey(client: Socket, proxy: Socket): Buffer {
  const key = Buffer.concat([addressBytes(client.ip).subarray(-4), addressBytes(proxy.ip).subarray(-4), Buffer.alloc(4)])
  key.writeUInt16BE(client.port, 8)
  key.writeUInt16BE(proxy.port, 10)
  return key
}

export function decodeProxyFlow(value: Buffer): Omit<ProxyOrigin, 'client'> {
  return {
    ip: ipv4Text(value), port: value.readUInt16BE(4), direction: value.readUInt16LE(6) === 0 ? 'ingress' : 'egress', srcIdentity: value.readUInt32LE(8), dstIdentity: value.readUInt32LE(12),
  }
}

/** The value of cilium_proxy6, which has the client's address too: the proxy sees another. */
export function decodeProxyFlow6(value: Buffer): ProxyOrigin {
  return {
    client: ipv6Text(value), ip: ipv6Text(value, 16), port: value.readUInt16BE(32), direction: value.readUInt16LE(34) === 0 ? 'ingress' : 'egress',
    srcIdentity: value.readUInt32LE(36), dstIdentity: value.readUInt32LE(40),
  }
}

/** Of an entry of cilium_proxy6, the key of its flow in cilium_ct6_global. */
export function conntrackKeyOf6(key: Buffer, value: Buffer): Buffer {
  const TCP = 6, IN = 1, OUT = 0
  const egress = value.readUInt16LE(34) !== 0
  return Buffer.concat([value.subarray(16, 32), value.subarray(0, 16), value.subarray(32, 34), key.subarray(8, 10), Buffer.from([TCP, egress ? OUT : IN, 0, 0])])
}

/** Of an entry of cilium_proxy4, the key of its flow in cilium_ct4_global. */
export function conntrackKeyOf(key: Buffer, value: Buffer): Buffer {
  const TCP = 6, IN = 1, OUT = 0
  const egress = value.readUInt16LE(6) !== 0
  return Buffer.concat([value.subarray(0, 4), key.subarray(0, 4), value.subarray(4, 6), key.subarray(8, 10), Buffer.from([TCP, egress ? OUT : IN, 0, 0])])
}

/** How many bytes an address has in the maps of services: cilium_lb4_…, cilium_lb6_…, which differ in nothing else. */
export type AddressSize = 4 | 16
const sizeOf = (ip: string): AddressSize => (isIPv6(ip) ? 16 : 4)
const addressText = (bytes: Buffer, size: AddressSize): string => (size === 16 ? ipv6Text(bytes) : ipv4Text(bytes))
/** The address, then room. */
const withAddress = (ip: string, more: number): Buffer => Buffer.concat([addressBytes(ip), Buffer.alloc(more)])

export interface ServiceKey { ip: string; port: number; protocol: 'TCP' | 'UDP'; slave: number }

export function encodeServiceKey(key: ServiceKey): Buffer {
  const bytes = withAddress(key.ip, 8), at = sizeOf(key.ip)
  bytes.writeUInt16BE(key.port, at)
  bytes.writeUInt16LE(key.slave, at + 2)
  bytes.writeUInt8(protocolNumber(key.protocol), at + 4)
  return bytes
}

export function decodeServiceKey(bytes: Buffer): ServiceKey {
  const at = bytes.length - 8 as AddressSize
  return { ip: addressText(bytes, at), port: bytes.readUInt16BE(at), slave: bytes.readUInt16LE(at + 2), protocol: bytes.readUInt8(at + 4) === PROTOCOL_NUMBER.UDP ? 'UDP' : 'TCP' }
}

/** A service (slave 0: count and affinity in seconds, no target) or one of its backends. */
export interface ServiceValue { ip: string; port: number; count: number; revnat: number; affinity: number }

export function encodeServiceValue(service: ServiceValue): Buffer {
  const bytes = withAddress(service.ip, 12), at = sizeOf(service.ip)
  bytes.writeUInt16BE(service.port, at)
  bytes.writeUInt16LE(service.count, at + 2)
  bytes.writeUInt16LE(service.revnat, at + 4)
  bytes.writeUInt32LE(service.affinity, at + 8)
  return bytes
}

export function decodeServiceValue(bytes: Buffer): ServiceValue {
  const at = bytes.length - 12 as AddressSize
  return { ip: addressText(bytes, at), port: bytes.readUInt16BE(at), count: bytes.readUInt16LE(at + 2), revnat: bytes.readUInt16LE(at + 4), affinity: bytes.readUInt32LE(at + 8) }
}

/** Value of cilium_lb4_reverse_nat. */
export function encodeReverseNat(ip: string, port: number): Buffer {
  const bytes = withAddress(ip, 4)
  bytes.writeUInt16BE(port, sizeOf(ip))
  return bytes
}

/** Key of cilium_lb4_backends. */
export function encodeBackendKey(ip: string, port: number, revnat: number): Buffer {
  const bytes = encodeReverseNat(ip, port)
  bytes.writeUInt16LE(revnat, sizeOf(ip) + 2)
  return bytes
}

/** Of cilium_lb4_affinity: whose service it is, and when (CLOCK_MONOTONIC in seconds) its client came last. */
export function decodeAffinity(key: Buffer, value: Buffer): { revnat: number; lastUsed: number } {
  return { revnat: key.readUInt16LE(key.length - 4), lastUsed: value.readUInt32LE(value.length - 4) }
}

const CT6_KEY = 40
const CT_FLAG = { in: 1, service: 4 } as const

/** @param now CLOCK_MONOTONIC in seconds, which lifetimes are in */
export function decodeConntrack(key: Buffer, value: Buffer, now: number): ConntrackEntry {
  // Two addresses, two ports, protocol, flags: of cilium_ct4_global or cilium_ct6_global.
  const six = key.length === CT6_KEY
  const [size, text] = six ? [16, ipv6Text] : [4, ipv4Text]
  const rest = key.subarray(2 * size)
  const protocol = rest.readUInt8(4), flags = rest.readUInt8(5)
  // The keys of ICMP have the message type in place of a port.
  const port = (offset: number): number => (protocol === PROTOCOL_NUMBER.ICMP || protocol === PROTOCOL_NUMBER.ICMPv6 ? 0 : rest.readUInt16BE(offset))
  return {
    direction: (flags & CT_FLAG.service) !== 0 ? 'SVC' : (flags & CT_FLAG.in) !== 0 ? 'IN' : 'OUT',
    protocol, dst: text(key, 0), src: text(key, size), dstPort: port(0), srcPort: port(2),
    expires: value.readUInt32LE(32) - now,
    rxPackets: Number(value.readBigUInt64LE(0)), rxBytes: Number(value.readBigUInt64LE(8)),
    txPackets: Number(value.readBigUInt64LE(16)), txBytes: Number(value.readBigUInt64LE(24)),
    flags: value.readUInt16LE(36), revnat: value.readUInt16LE(38), sourceIdentity: value.readUInt32LE(40),
  }
}
