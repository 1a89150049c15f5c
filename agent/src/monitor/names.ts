/** Names gopacket gives to numbers in headers. */

const etherTypes: Record<number, string> = { 0x0800: 'IPv4', 0x0806: 'ARP', 0x86dd: 'IPv6', 0x8100: 'Dot1Q', 0x8847: 'MPLSUnicast', 0x88cc: 'LinkLayerDiscovery', 0x888e: 'EAPOL' }
const ipProtocols: Record<number, string> = {
  0: 'IPv6HopByHop', 1: 'ICMPv4', 2: 'IGMP', 4: 'IPv4', 6: 'TCP', 17: 'UDP', 27: 'RUDP', 41: 'IPv6', 43: 'IPv6Routing', 44: 'IPv6Fragment', 47: 'GRE', 50: 'ESP', 51: 'AH',
  58: 'ICMPv6', 59: 'NoNextHeader', 60: 'IPv6Destination', 89: 'OSPF', 94: 'IPIP', 97: 'EtherIP', 112: 'VRRP', 132: 'SCTP', 136: 'UDPLite', 137: 'MPLSInIP',
}

export const etherType = (type: number): string => etherTypes[type] ?? (type < 0x0600 ? 'LLC' : 'UnknownEthernetType')
export const ipProtocol = (protocol: number): string => ipProtocols[protocol] ?? 'UnknownIPProtocol'
export const ipv4Flags = (flags: number): string => [flags & 4 ? 'Evil' : '', flags & 2 ? 'DF' : '', flags & 1 ? 'MF' : ''].filter(Boolean).join('|')

/** The few well-known ports tests meet; gopacket has all of IANA's, so a port outside this list may print without its name. */
const ports: Record<'tcp' | 'udp', Record<number, string>> = {
  tcp: {
    7: 'echo', 20: 'ftp-data', 21: 'ftp', 22: 'ssh', 23: 'telnet', 25: 'smtp', 53: 'domain', 80: 'http', 88: 'kerberos', 110: 'pop3', 143: 'imap', 179: 'bgp', 389: 'ldap', 443: 'https',
    2379: 'etcd-client', 2380: 'etcd-server', 3306: 'mysql', 4240: 'vrml-multi-use', 5201: 'targus-getdata1', 5432: 'postgresql', 6379: 'redis', 6443: 'sun-sr-https', 8080: 'http-alt', 8081: 'sunproxyadmin', 8443: 'pcsync-https', 9090: 'websm', 9092: 'XmlIpcRegSvc',
  },
  udp: { 7: 'echo', 53: 'domain', 67: 'bootps', 68: 'bootpc', 69: 'tftp', 80: 'http', 123: 'ntp', 161: 'snmp', 443: 'https', 514: 'syslog', 4789: 'vxlan', 5353: 'mdns', 6081: 'geneve', 8472: 'otv' },
}
export function portName(protocol: 'tcp' | 'udp', port: number): string {
  const name = ports[protocol][port]
  return name === undefined ? String(port) : `${port}(${name})`
}

type TypeCodes = Record<number, [type: string, codes?: string[]]>
const icmp4: TypeCodes = {
  0: ['EchoReply'], 4: ['SourceQuench'], 8: ['EchoRequest'], 9: ['RouterAdvertisement'], 10: ['RouterSolicitation'], 13: ['TimestampRequest'], 14: ['TimestampReply'],
  3: ['DestinationUnreachable', ['Net', 'Host', 'Protocol', 'Port', 'FragmentationNeeded', 'SourceRoutingFailed', 'NetUnknown', 'HostUnknown', 'SourceIsolated', 'NetAdminProhibited',
    'HostAdminProhibited', 'NetTOS', 'HostTOS', 'CommAdminProhibited', 'HostPrecedence', 'PrecedenceCutoff']],
  5: ['Redirect', ['Net', 'Host', 'TOS+Net', 'TOS+Host']], 11: ['TimeExceeded', ['TTLExceeded', 'FragmentReassemblyTimeExceeded']],
  12: ['ParameterProblem', ['PointerIndicatesError', 'MissingOption', 'BadLength']], 15: ['InfoRequest'], 16: ['InfoReply'], 17: ['AddressMaskRequest'], 18: ['AddressMaskReply'],
}
const icmp6: TypeCodes = {
  1: ['DestinationUnreachable', ['NoRouteToDst', 'AdminProhibited', 'BeyondScopeOfSrc', 'AddressUnreachable', 'PortUnreachable', 'SrcAddressFailedPolicy', 'RejectRouteToDst']],
  2: ['PacketTooBig'], 3: ['TimeExceeded', ['HopLimitExceeded', 'FragmentReassemblyTimeExceeded']],
  4: ['ParameterProblem', ['ErroneousHeaderField', 'UnrecognizedNextHeader', 'UnrecognizedIPv6Option']], 128: ['EchoRequest'], 129: ['EchoReply'],
  133: ['RouterSolicitation'], 134: ['RouterAdvertisement'], 135: ['NeighborSolicitation'], 136: ['NeighborAdvertisement'], 137: ['Redirect'],
}
export function icmpTypeCode(family: 4 | 6, type: number, code: number): string {
  const known = (family === 4 ? icmp4 : icmp6)[type]
  if (known === undefined) return `${type}(${code})`
  const [name, codes] = known
  if (codes === undefined && code === 0) return name
  return codes?.[code] === undefined ? `${name}(Code: ${code})` : `${name}(${codes[code]})`
}

const tcpOptionKinds = ['EndList', 'NOP', 'MSS', 'WindowScale', 'SACKPermitted', 'SACK', 'Echo', 'EchoReply', 'Timestamps']
export function tcpOption(kind: number, data: Buffer): string {
  const name = tcpOptionKinds[kind] ?? `Unknown(${kind})`
  const hex = data.length > 0 ? ` 0x${data.toString('hex')}` : ''
  if (kind === 2 && data.length >= 2) return `TCPOption(${name}:${data.readUInt16BE(0)}${hex})`
  if (kind === 8 && data.length === 8) return `TCPOption(${name}:${data.readUInt32BE(0)}/${data.readUInt32BE(4)}${hex})`
  return `TCPOption(${name}:${hex})`
}

/** RFC 5952, as Go prints it: the longest run of two or more zero groups becomes `::`, the first of equals. */
export function ipv6(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2))
  let best = { at: -1, length: 1 }
  for (let at = 0; at < 8; at++) {
    let length = 0
    while (at + length < 8 && groups[at + length] === 0) length++
    if (length > best.length) best = { at, length }
  }
  const hex = groups.map((group) => group.toString(16))
  return best.at < 0 ? hex.join(':') : `${hex.slice(0, best.at).join(':')}::${hex.slice(best.at + best.length).join(':')}`
}
