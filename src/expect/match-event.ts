import { identityText, isPacket, sameReason, type MonitorEvent, type PacketEvent, type Point } from '../monitor/index.ts'
import type { FlowEnd, Transport } from './types.ts'

/** What a packet's event is compared with; what is absent is not compared. */
export interface PacketCriteria {
  readonly from?: FlowEnd | string
  readonly to?: FlowEnd | string
  readonly protocol?: Transport
  readonly srcPort?: number
  readonly dstPort?: number
}

/** A difference between an event and what was expected of it. */
export interface Mismatch { readonly field: string; readonly expected: string; readonly got: string }

const ipOf = (end: FlowEnd | string): string => (typeof end === 'string' ? end : end.ip)
const endOf = (end: FlowEnd | string | undefined): FlowEnd | undefined => (typeof end === 'string' ? undefined : end)

function differ(field: string, expected: string | number | undefined, got: string | number | undefined): Mismatch[] {
  return expected === undefined || expected === got ? [] : [{ field, expected: String(expected), got: got === undefined ? 'not given' : String(got) }]
}

/** Differences in the packet itself: addresses, protocol, ports. */
export function packetMismatches(event: PacketEvent, want: PacketCriteria): Mismatch[] {
  const { summary } = event
  const proto = summary.proto === 'icmpv6' ? 'icmp' : summary.proto
  return [
    ...differ('source address', want.from === undefined ? undefined : ipOf(want.from), summary.src),
    ...differ('destination address', want.to === undefined ? undefined : ipOf(want.to), summary.dst),
    ...differ('protocol', want.protocol, proto),
    ...differ('source port', want.srcPort, summary.srcPort),
    ...differ('destination port', want.dstPort, summary.dstPort),
  ]
}

const identity = (field: string, want: number | undefined, got: number | undefined): Mismatch[] =>
  want === undefined || want === got ? [] : [{ field, expected: identityText(want), got: identityText(got) }]

export interface DropCriteria extends PacketCriteria {
  /** Name of any Cilium version, or number; or several, one of which is meant. */
  readonly reason?: string | number | readonly (string | number)[]
  /** Node that dropped it. */
  readonly node?: string
}

/** Differences between an event and an expected drop: type, packet, reason, both identities, endpoint, node. */
export function dropMismatches(event: PacketEvent, want: DropCriteria): Mismatch[] {
  const packet = packetMismatches(event, want)
  if (event.type !== 'drop') return [{ field: 'kind', expected: 'drop', got: event.type === 'trace' ? `trace at ${event.point}` : event.type }, ...packet]
  const reasons: readonly (string | number)[] = want.reason === undefined ? [] : typeof want.reason === 'object' ? want.reason : [want.reason]
  const to = endOf(want.to)
  const endpoint = to?.endpoint
  return [
    ...packet,
    ...(reasons.length === 0 || reasons.some((reason) => sameReason(reason, event.reasonCode ?? event.reason)) ? [] : [{ field: 'reason', expected: reasons.join(' or '), got: event.reason }]),
    ...identity('source identity', endOf(want.from)?.identity, event.srcIdentity),
    ...identity('destination identity', to?.identity, event.dstIdentity),
    // A drop on the way in names the endpoint as the program that dropped (source) or as the destination; versions differ.
    ...(endpoint === undefined || event.dstEndpoint === endpoint || event.source === endpoint ? [] : differ('endpoint', endpoint, event.dstEndpoint || event.source)),
    ...differ('node', want.node, event.node),
  ]
}

export interface TraceCriteria extends PacketCriteria {
  readonly point: Point
  readonly state?: string
}

/** Differences between an event and an expected trace. Identities are compared where the datapath knows them at that point. */
export function traceMismatches(event: PacketEvent, want: TraceCriteria): Mismatch[] {
  const packet = packetMismatches(event, want)
  if (event.type !== 'trace') return [{ field: 'kind', expected: `trace at ${want.point}`, got: event.type }, ...packet]
  const [from, to] = [endOf(want.from), endOf(want.to)]
  const sender = want.point.startsWith('from-endpoint') || want.point === 'to-overlay' || want.point === 'to-stack'
  const receiver = want.point === 'to-endpoint' || want.point === 'from-overlay'
  // 0 is "not looked up yet": from-overlay knows no source, and only to-endpoint must know the destination (Cilium 1.2: `identity 31540->0`).
  const known = (id: number | undefined, must: boolean): boolean => must || (id !== undefined && id !== 0)
  return [
    ...differ('point', want.point, event.point),
    ...packet,
    ...(known(event.srcIdentity, want.point !== 'from-overlay') ? identity('source identity', from?.identity, event.srcIdentity) : []),
    ...(known(event.dstIdentity, want.point === 'to-endpoint') ? identity('destination identity', to?.identity, event.dstIdentity) : []),
    ...(want.point === 'to-endpoint' ? differ('endpoint', to?.endpoint, event.dstEndpoint) : []),
    ...(want.point === 'from-endpoint' && event.source !== undefined ? differ('endpoint', from?.endpoint, event.source) : []),
    ...differ('state', want.state, event.state),
    ...differ('node', sender ? from?.node : receiver ? to?.node : undefined, event.node),
  ]
}

/** The events that come nearest, best first, each with what differs; what is much further off than the best is left out. */
export function nearest(events: readonly MonitorEvent[], mismatches: (event: PacketEvent) => readonly Mismatch[], limit = 4): string[] {
  const ranked = events.filter(isPacket)
    .map((event) => ({ event, diffs: mismatches(event) }))
    .map((entry) => ({ ...entry, score: score(entry.event, entry.diffs) }))
    .filter(({ score: far }) => far < 20)
    .sort((a, b) => a.score - b.score)
  const best = ranked[0]?.score ?? 0
  return ranked.filter(({ score: far }) => far <= best + 3).slice(0, limit)
    .flatMap(({ event, diffs }) => [`${event.node}: ${eventText(event)}`, ...diffs.map(({ field, expected, got }) => `  ✗ ${field}: ${got} (expected ${expected})`)])
}

/** The flow's own packets are nearer than an event of the right kind; that one was delivered tells more than where else it was seen. */
function score(event: PacketEvent, diffs: readonly Mismatch[]): number {
  const weight = ({ field }: Mismatch): number => (field.endsWith('address') ? 10 : field === 'protocol' || field.endsWith('port') ? 4 : field === 'kind' || field === 'point' ? 3 : 1)
  return diffs.reduce((sum, diff) => sum + weight(diff), 0) - (event.type === 'trace' && event.point === 'to-endpoint' ? 0.5 : 0)
}

/** One line for any event, in the plain text form whatever form it came in. */
export function eventText(event: MonitorEvent): string {
  if (event.type === 'drop') return `xx drop (${event.reason}) to endpoint ${event.dstEndpoint ?? '?'}, identity ${event.srcIdentity ?? '?'}->${event.dstIdentity ?? '?'}: ${event.summary.text}`
  if (event.type === 'trace') return `${event.point} ${event.dstEndpoint || event.source || ''} identity ${event.srcIdentity ?? '?'}->${event.dstIdentity ?? '?'} state ${event.state ?? '?'}: ${event.summary.text}`.replace(/ {2}/g, ' ')
  return event.raw.split('\n')[0] ?? ''
}
