import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { MonitorParser, parseMonitorLine } from './parse.ts'
import type { MonitorEvent } from './types.ts'

const recorded = (file: string): string[] => readFileSync(join(import.meta.dirname, 'testdata', file), 'utf8').split('\n')
const count = (events: readonly MonitorEvent[]): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const { type } of events) counts[type] = (counts[type] ?? 0) + 1
  return counts
}

describe('the output of Cilium 1.2.5', () => {
  test.each(['monitor.txt', 'monitor-v.txt', 'monitor.json'])('leaves no line of %s unparsed', (file) => {
    expect(recorded(file).map(parseMonitorLine).filter((event) => event.type === 'unparsed')).toEqual([])
  })

  test('has as many drops, traces and captures as were recorded', () => {
    expect(count(recorded('monitor.txt').map(parseMonitorLine))).toMatchInlineSnapshot(`
      {
        "agent": 12,
        "capture": 11,
        "drop": 5,
        "header": 4,
        "trace": 47,
      }
    `)
    expect(count(recorded('monitor.json').map(parseMonitorLine))).toMatchInlineSnapshot(`
      {
        "agent": 8,
        "capture": 4,
        "debug": 46,
        "drop": 3,
        "header": 4,
        "trace": 14,
      }
    `)
    const parser = new MonitorParser()
    expect(count([...recorded('monitor-v.txt').flatMap((line) => parser.push(line)), ...parser.flush()])).toMatchInlineSnapshot(`
      {
        "agent": 4,
        "capture": 2,
        "debug": 22,
        "drop": 3,
        "header": 13,
        "trace": 7,
      }
    `)
  })

  test('gives the same trace events in its three forms', () => {
    const parser = new MonitorParser()
    const verbose = recorded('monitor-v.txt').flatMap((line) => parser.push(line))
    const shape = (events: readonly MonitorEvent[]) =>
      events.flatMap((event) => (event.type === 'trace' && event.summary.proto === 'icmp' ? [[event.point, event.mark, event.srcIdentity, event.dstIdentity, event.state, event.summary.text]] : [])).slice(0, 4)
    const json = shape(recorded('monitor.json').map(parseMonitorLine))
    expect(json).toHaveLength(4)
    expect(shape(recorded('monitor.txt').map(parseMonitorLine))).toEqual(json)
    expect(shape(verbose)).toEqual(json)
  })
})

describe('the forms of other versions', () => {
  const lines = recorded('versions.txt').filter((line) => line !== '' && !line.startsWith('#'))
  const of = (start: string): MonitorEvent => parseMonitorLine(lines.find((line) => line.startsWith(start)) ?? expect.fail(start))

  test('leave no line unparsed', () => {
    expect(lines.map(parseMonitorLine).filter((event) => event.type === 'unparsed')).toEqual([])
    expect(count(lines.map(parseMonitorLine))).toEqual({ drop: 6, header: 3, trace: 10, capture: 2, debug: 2, verdict: 2, l7: 2 })
  })

  test('are all the same to an assertion', () => {
    expect(of('xx drop (Policy denied (L3)) to endpoint 25729, identity 261->264: 10.')).toMatchObject({ reasonCode: 133, dstEndpoint: 25729, srcIdentity: 261, dstIdentity: 264, summary: { proto: 'icmp', src: '10.11.13.37', icmpType: 'EchoRequest' } })
    expect(of('xx drop (Policy denied) flow 0xfddd76f6')).toMatchObject({ reasonCode: 133, dstEndpoint: 0, srcIdentity: 48447, dstIdentity: 2, summary: { proto: 'tcp', dstPort: 80 } })
    expect(of('-> endpoint 212')).toMatchObject({ point: 'to-endpoint', state: 'new', dstEndpoint: 212, srcIdentity: 8, dstIdentity: 61131, interface: 'lxcfc90a8580fd6', summary: { dstPort: 9080 } })
    expect(of('-> network')).toMatchObject({ point: 'to-network', interface: 'eth0', srcIdentity: 22196 })
    expect(of('-> overlay flow 0x0')).toMatchObject({ point: 'to-overlay', summary: { proto: 'icmp', icmpType: 'EchoRequest', dst: '10.244.0.132' } })
    expect(of('Policy verdict log: flow 0x614e9723')).toMatchObject({ type: 'verdict', endpoint: 3459, remoteIdentity: 16777217, direction: 'egress', action: 'allow', match: 'L3-Only', summary: { dstPort: 80 } })
    expect(of('<- Response http')).toMatchObject({ type: 'l7', verdict: 'Forwarded', srcEndpoint: 478, dstEndpoint: 1762, status: 403 })
  })

  // The printf strings of 1.14's and the newest source, with values of our own.
  test.each([
    ['CPU 01: MARK 0x1 FROM 12 to-endpoint: 74 bytes (74 captured), state reply, interface lxc1, , identity 1->300, orig-ip 10.0.0.1, to endpoint 12', { type: 'trace', point: 'to-endpoint', state: 'reply', bytes: 74, interface: 'lxc1', srcIdentity: 1, dstIdentity: 300, dstEndpoint: 12 }],
    ['CPU 01: MARK 0x1 FROM 12 from-endpoint: 74 bytes (74 captured), state unknown, orig-ip 0.0.0.0', { type: 'trace', point: 'from-endpoint', source: 12 }],
    ['CPU 01: MARK 0x1 FROM 12 to-proxy: 74 bytes (74 captured), state new, , identity 1->300, orig-ip 0.0.0.0, to proxy-port 10000', { type: 'trace', point: 'to-proxy', dstIdentity: 300 }],
    ['CPU 01: MARK 0x1 FROM 12 DROP: 74 bytes, reason FIB lookup failed, 4, identity 300->400, to endpoint 5', { type: 'drop', reasonCode: 169, dstEndpoint: 5, srcIdentity: 300 }],
    ['xx drop (Missed tail call, 26) flow 0x1 to endpoint 0, ifindex 3, file bpf_host.c:9, , identity 0->0: [unknown]', { type: 'drop', reason: 'Missed tail call', reasonCode: 140 }],
    ['-> stack encrypted  flow 0x1 , identity 300->400 state new ifindex 0 orig-ip 0.0.0.0: 10.0.0.1:1 -> 10.0.0.2:2 udp', { type: 'trace', point: 'to-stack', srcIdentity: 300 }],
    ['-> proxy port 10000 flow 0x1 , identity 300->400 state new ifindex 0 orig-ip 0.0.0.0: 10.0.0.1:1 -> 10.0.0.2:2 udp', { type: 'trace', point: 'to-proxy' }],
    ['Policy verdict log: flow 0x1 local EP ID 7, remote ID 300, ingress true, action deny, match none, 10.0.0.1:1 -> 10.0.0.2:2 tcp SYN', { type: 'verdict', direction: 'ingress', action: 'deny' }],
    ['Policy verdict log: flow 0x1 local EP ID 7, remote ID 300, ingress false, action allow, match all, 10.0.0.1:1 -> 10.0.0.2:2 tcp SYN', { type: 'verdict', direction: 'egress' }],
  ])('%s', (line, expected) => expect(parseMonitorLine(line)).toMatchObject(expected))

  test('of JSON have the interface of a drop in a key of its own', () => {
    const line = { cpu: 'CPU 01:', type: 'drop', mark: '0x1', reason: 'Policy denied', source: 9, bytes: 74, srcLabel: 300, dstLabel: 400, dstID: 9, Line: 1, File: 2, ExtError: 0, Ifindex: 5, summary: { l3: { src: '10.0.0.1', dst: '10.0.0.2' } } }
    expect(parseMonitorLine(JSON.stringify(line))).toMatchObject({ type: 'drop', reasonCode: 133, interface: '5', summary: { src: '10.0.0.1', dst: '10.0.0.2' } })
  })
})

describe('a line', () => {
  test('with a denied packet is a drop with reason, identities, endpoint and packet', () => {
    expect(parseMonitorLine('xx drop (Policy denied (L3)) flow 0x12656fc2 to endpoint 7, identity 10839->7479: 10.2.1.104:49296 -> 10.2.2.169:53 udp')).toMatchObject({
      type: 'drop', reason: 'Policy denied (L3)', reasonCode: 133, mark: 0x12656fc2, dstEndpoint: 7, srcIdentity: 10839, dstIdentity: 7479,
      summary: { src: '10.2.1.104', srcPort: 49296, dst: '10.2.2.169', dstPort: 53, proto: 'udp' },
    })
  })

  test('takes reasons as numbers and identities as names', () => {
    expect(parseMonitorLine('xx drop (133) flow 0x0 to endpoint 0, ifindex 5, file bpf_lxc.c:1300, , identity world->7479: [fd00::1]:1 -> [fd00::2]:80 tcp SYN')).toMatchObject({
      reason: 'Policy denied (L3)', srcIdentity: 2, dstIdentity: 7479, summary: { src: 'fd00::1', srcPort: 1, dst: 'fd00::2', dstPort: 80, flags: ['SYN'] },
    })
  })

  test.each([
    ['-> endpoint 5', { point: 'to-endpoint', dstEndpoint: 5 }],
    ['-> proxy', { point: 'to-proxy' }],
    ['-> host from', { point: 'to-host' }],
    ['-> stack', { point: 'to-stack' }],
    ['-> overlay', { point: 'to-overlay' }],
    ['<- endpoint 6', { point: 'from-endpoint', source: 6 }],
    ['<- proxy', { point: 'from-proxy' }],
    ['<- host', { point: 'from-host' }],
    ['<- stack', { point: 'from-stack' }],
    ['<- overlay', { point: 'from-overlay' }],
  ])('that begins with %s is a trace at that point', (prefix, expected) => {
    expect(parseMonitorLine(`${prefix} flow 0x1 identity 300->400 state reply ifindex 0: 10.0.0.1:80 -> 10.0.0.2:1234 tcp SYN, ACK`)).toMatchObject({ type: 'trace', state: 'reply', ...expected, summary: { flags: ['SYN', 'ACK'] } })
  })

  test('with a verbose trace has its CPU and endpoint', () => {
    expect(parseMonitorLine('CPU 01: MARK 0xa902d52e FROM 12 to-endpoint: 74 bytes, state new, interface lxc1, identity 1->300, to endpoint 12')).toMatchObject({ type: 'trace', cpu: 1, source: 12, dstEndpoint: 12, point: 'to-endpoint', bytes: 74, interface: 'lxc1' })
  })

  test('about lost samples is never taken for something else', () => {
    expect(parseMonitorLine('CPU 03: Lost 27 events')).toMatchObject({ type: 'lost', cpu: 3, count: 27 })
  })

  test.each(['-> lxc12ab', '<- load-balancer cilium_net', '== v4->v6 12', '-> proxy port 10000'])('with the prefix %s is a capture', (prefix) => {
    expect(parseMonitorLine(`${prefix}: 10.0.0.1:1 -> 10.0.0.2:2 udp`)).toMatchObject({ type: 'capture', prefix, summary: { proto: 'udp', dstPort: 2 } })
  })

  test('of the proxy is an l7 event with verdict, method and status', () => {
    expect(parseMonitorLine('<- Request http from 5 ([k8s:a=b]) to 6 ([k8s:c=d]), identity 300->400, verdict Denied GET http://x/y => 403')).toMatchObject({ type: 'l7', verdict: 'Denied', srcEndpoint: 5, dstEndpoint: 6, srcIdentity: 300, method: 'GET', url: 'http://x/y', status: 403 })
  })

  test('of the agent has its message decoded', () => {
    expect(parseMonitorLine('>> Policy updated: {"revision":50,"rule_count":0}')).toMatchObject({ type: 'agent', subtype: 'Policy updated', message: { revision: 50 } })
  })

  test('that nothing knows is unparsed, and keeps its text', () => {
    expect(parseMonitorLine('Error: cannot connect')).toEqual({ type: 'unparsed', raw: 'Error: cannot connect', node: '' })
    expect(parseMonitorLine('{"no":"type"}')).toMatchObject({ type: 'unparsed' })
  })

  test('in JSON has TCP ports and flags from its layers', () => {
    const tcp = 'TCP\t{Contents=[..40..] Payload=[] SrcPort=49152 DstPort=8080(http-alt) Seq=1 Ack=0 DataOffset=10 FIN=false SYN=true RST=false PSH=false ACK=true URG=false ECE=false CWR=false NS=false Window=1 Checksum=2 Urgent=0 Options=[TCPOption(MSS:1460 0x05b4), TCPOption(NOP:)] Padding=[]}'
    const line = JSON.stringify({ cpu: 'CPU 01:', type: 'drop', mark: '0x1', ifindex: 'lxc1', reason: 'Policy denied (L3)', source: 9, bytes: 74, srcLabel: 300, dstLabel: 400, dstID: 9, summary: { ipv4: 'IPv4\t{Version=4 Flags= SrcIP=10.0.0.1 DstIP=10.0.0.2 Options=[] Padding=[]}', tcp, l4: { src: '49152', dst: '8080' } } })
    expect(parseMonitorLine(line)).toMatchObject({ type: 'drop', cpu: 1, dstEndpoint: 9, summary: { proto: 'tcp', src: '10.0.0.1', srcPort: 49152, dstPort: 8080, flags: ['SYN', 'ACK'], text: '10.0.0.1:49152 -> 10.0.0.2:8080 tcp SYN, ACK' } })
  })
})
