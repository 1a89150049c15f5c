import { describe, expect, it } from 'vitest'
import { DEBUG, type MonitorMessage } from '../datapath/events.ts'
import { rebuildPacket } from '../testing/rebuild.ts'
import { recorded } from '../testing/recorded.ts'
import type { L7Record } from '../proxy/record.ts'
import { formatMessage, lostLine, summary, type AgentMessage } from './format.ts'

const names = new Map([[17, 'cilium_health'], [19, 'lxccont1'], [21, 'lxccont2'], [23, 'lxccont3']])
const ifname = (ifindex: number) => names.get(ifindex) ?? String(ifindex)
const points = ['to-endpoint', 'to-proxy', 'to-host', 'to-stack', 'to-overlay', 'from-endpoint', 'from-proxy', 'from-host', 'from-stack', 'from-overlay']
const states = ['new', 'established', 'reply', 'related']

interface Recorded {
  cpu: string; type: string; mark: string; ifindex: string; state: string; observationPoint: string; reason: string; source: number; bytes: number
  srcLabel: number; dstLabel: number; dstID: number; summary: Record<string, string>; subtype: string; message: string
}

/** Makes a message again from a line that Cilium printed with -j. */
function rebuild(line: string): MonitorMessage | AgentMessage | undefined {
  const json = JSON.parse(line) as Recorded
  const common = { cpu: Number(json.cpu?.slice(4, 6)), source: json.source, hash: Number(json.mark), bytes: json.bytes }
  if (json.type === 'agent') return { type: 'agent', subtype: json.subtype, message: json.message }
  if (json.type !== 'drop' && json.type !== 'trace') return undefined
  const packet = rebuildPacket(Object.values(json.summary).filter((text) => typeof text === 'string'))
  const ifindex = [...names].find(([, name]) => name === json.ifindex)?.[0] ?? Number(json.ifindex)
  const flow = { ...common, srcIdentity: json.srcLabel, dstIdentity: json.dstLabel, dstId: json.dstID, ifindex, packet }
  return json.type === 'drop' ? { type: 'drop', ...flow, reason: 131 } : { type: 'trace', ...flow, point: points.indexOf(json.observationPoint), state: states.indexOf(json.state) }
}

const lines = recorded('monitor.json').split('\n').filter((line) => line.startsWith('{'))
const messages = lines.flatMap((line) => { const message = rebuild(line); return message === undefined ? [] : [{ line, message }] })
const shown = (message: MonitorMessage | AgentMessage, verbosity: 'plain' | 'verbose' | 'json') => formatMessage(message, { verbosity, ifname })

describe('what Cilium 1.2.5 recorded', () => {
  it('has drops, traces and agent events to compare with', () => {
    expect(new Set(messages.map(({ message }) => message.type))).toEqual(new Set(['trace', 'drop', 'agent']))
    expect(messages.length).toBeGreaterThan(20)
  })

  it.each(messages)('is printed as JSON: $line', ({ line, message }) => expect(shown(message, 'json')).toEqual([line]))

  it.each(messages)('is printed plainly: $line', ({ message }) => {
    expect(recorded('monitor.txt').split('\n')).toContain(shown(message, 'plain')[0])
  })

  it('has its -v blocks printed', () => {
    const blocks = messages.filter(({ message }) => recorded('monitor-v.txt').includes(shown(message, 'verbose').join('\n')))
    expect(blocks.length).toBeGreaterThan(12)
  })

  it('has its captures printed', () => {
    const arp = Buffer.from('166a3d9600da6a31f0e2e4df0806' + '00'.repeat(30), 'hex')
    const capture: MonitorMessage = { type: 'capture', cpu: 0, source: 65373, hash: 0xb9ed95eb, subtype: 4, bytes: 42, arg1: 19, arg2: 0, packet: arp }
    expect(recorded('monitor.txt')).toContain(`${shown(capture, 'plain')[0]!}\n`)
    expect(recorded('monitor-v.txt')).toContain(shown(capture, 'verbose').join('\n'))
    expect(lines).toContain(shown(capture, 'json')[0])
  })

  it('has its debug messages printed', () => {
    const ip = (text: string) => Buffer.from(text.split('.').map(Number)).readUInt32LE(0)
    const [c1, c2] = [ip('10.11.120.83'), ip('10.11.240.119')]
    const debug = (source: number, subtype: number, arg1: number, arg2 = 0, arg3 = 0): MonitorMessage => ({ type: 'debug', cpu: 0, source, hash: 0xaf043862, subtype, arg1, arg2, arg3 })
    for (const message of [
      debug(65373, DEBUG.ctLookup4_1, c1, c2, 2048), debug(65373, DEBUG.ctLookup4_2, 0x101), debug(65373, DEBUG.ctVerdict, 0), debug(65373, DEBUG.ipIdMapSucceed4, c2, 7111),
      debug(65373, DEBUG.ctCreated4, 0, 31540), debug(65373, DEBUG.localDelivery, 31837, 31540), debug(65373, DEBUG.lxcFound, 21), debug(31837, DEBUG.ctMatch, 187), debug(31837, DEBUG.ctVerdict, 2),
    ]) {
      expect(recorded('monitor-v.txt').split('\n')).toContain(shown(message, 'verbose')[0])
      expect(lines).toContain(shown(message, 'json')[0])
      expect(shown(message, 'plain')).toEqual([])
    }
  })
})

describe('other packets', () => {
  const eth = '5e393cb65f3c92' + '8f60a31e7f' + '0800'
  const tcp = (flags: string) => Buffer.from(eth + '450000' + '3c' + '0001400040060000' + '0a0b0001' + '0a0b48a3' + '8620' + '1090' + '00000001' + '00000002' + 'a0' + flags + '7210' + 'abcd' + '0000' + '020405b4' + '0402' + '080a0000000100000002' + '01' + '030307', 'hex')

  it('names TCP flags', () => {
    expect(summary(tcp('02'))).toBe('10.11.0.1:34336 -> 10.11.72.163:4240 tcp SYN')
    expect(summary(tcp('12'))).toBe('10.11.0.1:34336 -> 10.11.72.163:4240 tcp SYN, ACK')
    expect(summary(tcp('14'))).toBe('10.11.0.1:34336 -> 10.11.72.163:4240 tcp ACK, RST')
  })

  it('puts brackets round IPv6 addresses that have a port', () => {
    const addresses = 'f00d0000000000000af4010000000' + '00a' + 'f00d0000000000000af4010000000' + '00b'
    const six = (next: string, rest: string) => Buffer.from('5e393cb65f3c92' + '8f60a31e7f' + '86dd' + '60000000' + '0014' + next + '40' + addresses + rest, 'hex')
    expect(summary(six('06', '86201f90' + '0000000100000000' + '5002721000000000'))).toBe('[f00d::af4:100:0:a]:34336 -> [f00d::af4:100:0:b]:8080 tcp SYN')
    expect(summary(six('11', '86201f90' + '00140000' + '00'.repeat(12)))).toBe('[f00d::af4:100:0:a]:34336 -> [f00d::af4:100:0:b]:8080 udp')
    expect(summary(six('3a', '80000000' + '00010001' + '00'.repeat(12)))).toBe('f00d::af4:100:0:a -> f00d::af4:100:0:b EchoRequest')
  })

  it('renders TCP as gopacket does', () => {
    const message: MonitorMessage = { type: 'drop', cpu: 1, source: 3, hash: 0, reason: 133, bytes: 74, srcIdentity: 300, dstIdentity: 400, dstId: 9, ifindex: 0, packet: tcp('02') }
    expect(shown(message, 'verbose').slice(1)).toEqual([
      'CPU 01: MARK 0x0 FROM 3 DROP: 74 bytes, reason Policy denied (L3), to ifindex 0, identity 300->400, to endpoint 9',
      'Ethernet\t{Contents=[..14..] Payload=[..60..] SrcMAC=92:8f:60:a3:1e:7f DstMAC=5e:39:3c:b6:5f:3c EthernetType=IPv4 Length=0}',
      'IPv4\t{Contents=[..20..] Payload=[..40..] Version=4 IHL=5 TOS=0 Length=60 Id=1 Flags=DF FragOffset=0 TTL=64 Protocol=TCP Checksum=0 SrcIP=10.11.0.1 DstIP=10.11.72.163 Options=[] Padding=[]}',
      'TCP\t{Contents=[..40..] Payload=[] SrcPort=34336 DstPort=4240(vrml-multi-use) Seq=1 Ack=2 DataOffset=10 FIN=false SYN=true RST=false PSH=false ACK=false URG=false ECE=false CWR=false NS=false Window=29200 Checksum=43981 Urgent=0 Options=[..5..] Padding=[]}',
    ])
    expect((JSON.parse(shown(message, 'json')[0]!) as { summary: { l4: unknown } }).summary.l4).toEqual({ src: '34336', dst: '4240' })
  })

  it('tells what a cut packet still shows', () => {
    expect(summary(tcp('02').subarray(0, 40))).toBe('10.11.0.1 -> 10.11.72.163')
    expect(summary(Buffer.alloc(3))).toBe('[unknown]')
    const message: MonitorMessage = { type: 'drop', cpu: 0, source: 0, hash: 1, reason: 2, bytes: 40, srcIdentity: 0, dstIdentity: 0, dstId: 0, ifindex: 0, packet: tcp('02').subarray(0, 40) }
    expect(shown(message, 'verbose').at(-1)).toBe('  Packet has been truncated')
  })

  it('prints hex as Go does', () => {
    const message: MonitorMessage = { type: 'capture', cpu: 0, source: 1, hash: 1, subtype: 4, bytes: 18, arg1: 2, arg2: 0, packet: Buffer.from('hello, this is ebpf') }
    expect(formatMessage(message, { verbosity: 'verbose', hex: true, ifname }).slice(2)).toEqual([
      '00000000  68 65 6c 6c 6f 2c 20 74  68 69 73 20 69 73 20 65  |hello, this is e|', '00000010  62 70 66                                          |bpf|',
    ])
  })

  it('says how many events were lost', () => expect(lostLine(1, 2624)).toBe('CPU 01: Lost 2624 events'))
})

describe('an entry of the access log', () => {
  const record: L7Record = {
    type: 'Request', observationPoint: 'Ingress', verdict: 'Denied', source: { id: 0, identity: 300, labels: ['k8s:class=tiefighter', 'k8s:org=empire'] }, destination: { id: 6, identity: 400, labels: ['k8s:class=deathstar'] },
    http: { code: 403, method: 'PUT', host: 'deathstar', path: '/v1/exhaust-port?x=1', protocol: 'HTTP/1.1', rawHeaders: ['Host', 'deathstar', 'x-a', '1', 'X-A', '2'] },
  }
  const show = (verbosity: 'plain' | 'verbose' | 'json', more: Partial<L7Record> = {}) => formatMessage({ type: 'l7', record: { ...record, ...more } }, { verbosity, ifname })

  it('is a line as Cilium has it', () => {
    const ends = '([k8s:class=tiefighter k8s:org=empire]) to 6 ([k8s:class=deathstar]), identity 300->400'
    for (const verbosity of ['plain', 'verbose'] as const) expect(show(verbosity)).toEqual([`<- Request http from 0 ${ends}, verdict Denied PUT http://deathstar/v1/exhaust-port?x=1 => 403`])
    expect(show('plain', { type: 'Response', observationPoint: 'Egress', verdict: 'Forwarded' })).toEqual([`-> Response http from 0 ${ends}, verdict Forwarded PUT http://deathstar/v1/exhaust-port?x=1 => 403`])
  })

  it('is Cilium\'s record as JSON', () => {
    expect(JSON.parse(show('json')[0]!)).toEqual({
      type: 'logRecord', observationPoint: 'Ingress', flowType: 'Request', l7Proto: 'http', srcEpID: 0, srcEpLabels: ['k8s:class=tiefighter', 'k8s:org=empire'], srcIdentity: 300, dstEpID: 6, dstEpLabels: ['k8s:class=deathstar'], dstIdentity: 400, verdict: 'Denied',
      http: { Code: 403, Method: 'PUT', URL: { Scheme: 'http', Opaque: '', User: null, Host: 'deathstar', Path: '/v1/exhaust-port', RawPath: '', ForceQuery: false, RawQuery: 'x=1', Fragment: '' }, Protocol: 'HTTP/1.1', Header: { Host: ['deathstar'], 'X-A': ['1', '2'] } },
    })
  })
})
