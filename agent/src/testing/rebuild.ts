/** Builds packets again from the gopacket text that Cilium recorded, for tests of the dissector. */
export function rebuildPacket(layers: string[]): Buffer {
  const parts = layers.map((text) => {
    const [name = '', body = ''] = text.split('\t')
    const fields = new Map([...body.matchAll(/(\w+)=(\[[^\]]*\]|[^ }]*)/g)].map((match) => [match[1]!, match[2]!]))
    const get = (key: string): string => fields.get(key) ?? ''
    return { header: build(name, get), payload: lengthOf(get('Payload')) }
  })
  // Upstream's Ethernet payload has the perf record's padding in it, so the frame is as long as it says, not as IP says.
  const frame = Buffer.alloc(14 + parts[0]!.payload)
  Buffer.concat(parts.map((part) => part.header)).copy(frame)
  return frame
}

const icmpTypes: Record<string, number> = { EchoReply: 0, EchoRequest: 8 }
const icmp6Types: Record<string, number> = { RouterSolicitation: 133, EchoRequest: 128 }
const protocols: Record<string, number> = { ICMPv4: 1, ICMPv6: 58, TCP: 6, UDP: 17 }
const etherTypes: Record<string, number> = { IPv4: 0x0800, ARP: 0x0806, IPv6: 0x86dd }

function build(name: string, get: (key: string) => string): Buffer {
  const header = Buffer.alloc(lengthOf(get('Contents')))
  const number = (key: string) => Number(get(key))
  if (name === 'Ethernet') {
    header.set(mac(get('DstMAC')), 0)
    header.set(mac(get('SrcMAC')), 6)
    header.writeUInt16BE(etherTypes[get('EthernetType')]!, 12)
  } else if (name === 'IPv4') {
    header[0] = (number('Version') << 4) | number('IHL')
    header[1] = number('TOS')
    header.writeUInt16BE(number('Length'), 2)
    header.writeUInt16BE(number('Id'), 4)
    header.writeUInt16BE(((get('Flags') === 'DF' ? 2 : 0) << 13) | number('FragOffset'), 6)
    header[8] = number('TTL')
    header[9] = protocols[get('Protocol')]!
    header.writeUInt16BE(number('Checksum'), 10)
    header.set(get('SrcIP').split('.').map(Number), 12)
    header.set(get('DstIP').split('.').map(Number), 16)
  } else if (name === 'IPv6') {
    header.writeUInt32BE(((number('Version') << 28) | (number('TrafficClass') << 20) | number('FlowLabel')) >>> 0, 0)
    header.writeUInt16BE(number('Length'), 4)
    header[6] = protocols[get('NextHeader')]!
    header[7] = number('HopLimit')
    header.set(ipv6(get('SrcIP')), 8)
    header.set(ipv6(get('DstIP')), 24)
  } else if (name === 'ICMPv4') {
    header[0] = icmpTypes[get('TypeCode')]!
    header.writeUInt16BE(number('Checksum'), 2)
    header.writeUInt16BE(number('Id'), 4)
    header.writeUInt16BE(number('Seq'), 6)
  } else {
    header[0] = icmp6Types[get('TypeCode')]!
    header.writeUInt16BE(number('Checksum'), 2)
    header.set(get('TypeBytes').slice(1, -1).split(', ').map(Number), 4)
  }
  return header
}

const lengthOf = (list: string): number => Number(/\[\.\.(\d+)\.\.\]/.exec(list)?.[1] ?? 0)
const mac = (text: string): number[] => text.split(':').map((byte) => parseInt(byte, 16))

function ipv6(text: string): Buffer {
  const [head = '', tail] = text.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const groups = [...left, ...Array.from({ length: 8 - left.length - right.length }, () => '0'), ...right]
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex')
}
