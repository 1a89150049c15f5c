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
