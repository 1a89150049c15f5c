import { describe, expect, test } from 'vitest'
import { parseMonitorLine, type EventWindow } from '../monitor/index.ts'
import { installMatchers } from './matchers.ts'
import type { FlowEnd } from './types.ts'

installMatchers()

const client: FlowEnd = { name: 'client-1', ip: '10.244.0.7', identity: 300, endpoint: 12, node: 'node1' }
const server: FlowEnd = { name: 'server-a2', ip: '10.244.1.9', identity: 400, endpoint: 34, node: 'node2' }

const windowOf = (lines: readonly string[], gaps: readonly string[] = []): EventWindow => ({
  events: lines.map((line) => ({ ...parseMonitorLine(line.slice(line.indexOf(' ') + 1)), node: line.split(' ')[0] ?? '' })),
  gaps, nodes: ['node1', 'node2'], result: undefined,
})

/** The message of a failing assertion. */
function failure(assertion: () => void): string {
  try {
    assertion()
  } catch (error) {
    return (error as Error).message
  }
  return expect.fail('it passed')
}

const SYN = '10.244.0.7:40000 -> 10.244.1.9:8080 tcp SYN'
const drop = (reason: string, ids = '300->400', endpoint = 34): string => `node2 xx drop (${reason}) flow 0x1 to endpoint ${endpoint}, identity ${ids}: ${SYN}`
const want = { reason: 'Policy denied (L3)', from: client, to: server, protocol: 'tcp', dstPort: 8080, node: 'node2' } as const

const FLOW = [
  `node1 <- endpoint 12 flow 0x1 identity 300->0 state new ifindex 0: ${SYN}`,
  `node1 -> overlay flow 0x1 identity 300->0 state new ifindex cilium_vxlan: ${SYN}`,
  `node2 <- overlay flow 0x1 identity 0->0 state new ifindex 0: ${SYN}`,
  `node2 -> endpoint 34 flow 0x1 identity 300->400 state new ifindex lxc1: ${SYN}`,
  'node2 <- endpoint 34 flow 0x1 identity 400->0 state new ifindex 0: 10.244.1.9:8080 -> 10.244.0.7:40000 tcp SYN, ACK',
  'node2 -> overlay flow 0x1 identity 400->0 state reply ifindex cilium_vxlan: 10.244.1.9:8080 -> 10.244.0.7:40000 tcp SYN, ACK',
  'node1 <- overlay flow 0x1 identity 0->0 state new ifindex 0: 10.244.1.9:8080 -> 10.244.0.7:40000 tcp SYN, ACK',
  'node1 -> endpoint 12 flow 0x1 identity 400->300 state reply ifindex lxc1: 10.244.1.9:8080 -> 10.244.0.7:40000 tcp SYN, ACK',
]
const flow = { from: client, to: server, protocol: 'tcp', port: 8080, via: ['from-endpoint', 'to-overlay', 'from-overlay', 'to-endpoint'], state: 'new', bothDirections: true } as const

describe('toContainDrop', () => {
  test('finds a drop by reason, identities, endpoint, node and packet', () => {
    expect(windowOf([drop('Policy denied (L3)')])).toContainDrop(want)
    expect(windowOf([drop('133')])).toContainDrop({ ...want, reason: ['Policy denied (L4)', 'Policy denied'] })
    expect(windowOf([])).not.toContainDrop(want)
  })

  test.each([
    ['the reason', drop('Invalid packet'), 'reason: Invalid packet (expected Policy denied (L3))'],
    ['swapped identities', drop('Policy denied (L3)', '400->300'), 'source identity: 400 (expected 300)'],
    ['the endpoint', drop('Policy denied (L3)', '300->400', 99), 'endpoint: 99 (expected 34)'],
    ['the node', drop('Policy denied (L3)').replace('node2', 'node1'), 'node: node1 (expected node2)'],
  ])('shows that %s is wrong', (_, line, message) => {
    expect(failure(() => expect(windowOf([line])).toContainDrop(want))).toContain(message)
  })

  test('shows what happened to the packet instead, nearest first', () => {
    expect(failure(() => expect(windowOf(FLOW)).toContainDrop(want))).toMatchInlineSnapshot(`
      "expected a drop with reason Policy denied (L3) from client-1 (10.244.0.7, identity 300, endpoint 12) to server-a2 (10.244.1.9, identity 400, endpoint 34) tcp port 8080 on node2

      window:
        8 events of node1, node2; complete

      nearest events:
        node2: to-endpoint 34 identity 300->400 state new: 10.244.0.7:40000 -> 10.244.1.9:8080 tcp SYN
          ✗ kind: trace at to-endpoint (expected drop)
        node1: from-endpoint 12 identity 300->0 state new: 10.244.0.7:40000 -> 10.244.1.9:8080 tcp SYN
          ✗ kind: trace at from-endpoint (expected drop)
        node1: to-overlay identity 300->0 state new: 10.244.0.7:40000 -> 10.244.1.9:8080 tcp SYN
          ✗ kind: trace at to-overlay (expected drop)
        node2: from-overlay identity 0->0 state new: 10.244.0.7:40000 -> 10.244.1.9:8080 tcp SYN
          ✗ kind: trace at from-overlay (expected drop)"
    `)
  })

  test('says so when nothing at all went between the two', () => {
    expect(failure(() => expect(windowOf(['node1 >> Policy updated: {}'])).toContainDrop(want))).toContain('nearest events:\n  none between these addresses')
  })

  test('shows the drop that should not have been', () => {
    expect(failure(() => expect(windowOf([drop('Policy denied (L3)')])).not.toContainDrop({ from: client, to: server }))).toBe(
      `expected no drop from client-1 (10.244.0.7, identity 300, endpoint 12) to server-a2 (10.244.1.9, identity 400, endpoint 34)\n\nbut seen:\n  node2: ${drop('Policy denied (L3)').slice(6)}`)
  })

  test('is not told by an incomplete window that there was none, but may find one in it', () => {
    expect(failure(() => expect(windowOf([], ['CPU 1 of node2 lost 12 events'])).not.toContainDrop({ from: client }))).toBe(
      'cannot say that there was no drop from client-1 (10.244.0.7, identity 300, endpoint 12): events are missing from the window\n\nmissing:\n  CPU 1 of node2 lost 12 events')
    expect(windowOf([drop('Policy denied (L3)')], ['CPU 1 of node2 lost 12 events'])).toContainDrop(want)
  })
})

describe('toContainFlow', () => {
  test('finds both directions at all their points', () => {
    expect(windowOf(FLOW)).toContainFlow(flow)
  })

  test('shows which step is missing and what came nearest to it', () => {
    const swapped = FLOW.map((line) => line.replace('identity 300->400', 'identity 400->300'))
    expect(failure(() => expect(windowOf(swapped)).toContainFlow(flow))).toMatchInlineSnapshot(`
      "expected a tcp flow from client-1 (10.244.0.7, identity 300, endpoint 12) to server-a2 (10.244.1.9, identity 400, endpoint 34) port 8080, both directions

      steps:
        ✓ from-endpoint client-1 -> server-a2
        ✓ to-overlay client-1 -> server-a2
        ✓ from-overlay client-1 -> server-a2
        ✗ to-endpoint client-1 -> server-a2 state new
        ✓ from-endpoint server-a2 -> client-1
        ✓ to-overlay server-a2 -> client-1
        ✓ from-overlay server-a2 -> client-1
        ✓ to-endpoint server-a2 -> client-1 state reply

      window:
        8 events of node1, node2; complete

      nearest to "to-endpoint client-1 -> server-a2 state new":
        node2: to-endpoint 34 identity 400->300 state new: 10.244.0.7:40000 -> 10.244.1.9:8080 tcp SYN
          ✗ source identity: 400 (expected 300)
          ✗ destination identity: 300 (expected 400)"
    `)
  })

  test('wants replies to be replies', () => {
    expect(failure(() => expect(windowOf(FLOW.map((line) => line.replace('identity 400->300 state reply', 'identity 400->300 state new')))).toContainFlow(flow))).toContain('state: new (expected reply)')
  })

  test('wants each point on its own node', () => {
    expect(failure(() => expect(windowOf(FLOW.map((line) => line.replace('node2 <- overlay', 'node1 <- overlay')))).toContainFlow(flow))).toContain('✗ from-overlay client-1 -> server-a2')
  })

  test('is not told by an incomplete window that there was none', () => {
    expect(failure(() => expect(windowOf([], ['the monitor of node1 ended'])).not.toContainFlow(flow))).toContain('cannot say that there was no tcp flow')
  })
})
