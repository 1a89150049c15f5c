import type { CaptureMessage, DropMessage, MonitorMessage, TraceMessage } from '../datapath/events.ts'
import { goJson } from '../text/gojson.ts'
import { pairs } from '../proxy/headers.ts'
import type { L7Record } from '../proxy/record.ts'
import { captureText, capturePrefix, debugText } from './debug.ts'
import { dissect, type Layer } from './dissect.ts'
import { hexDump } from './hexdump.ts'
import { connectionState, dropReason, observationPoint } from './reasons.ts'

export type InterfaceName = (ifindex: number) => string
/** What the agent itself reports: `>> Policy updated: {…}`. */
export interface AgentMessage { type: 'agent'; subtype: string; message: unknown }
/** An entry of the proxy's access log. */
export interface L7Message { type: 'l7'; record: L7Record }
/** Whatever a monitor shows. */
export type Shown = MonitorMessage | AgentMessage | L7Message
export type Verbosity = 'plain' | 'verbose' | 'json'

const rule = '-'.repeat(78)

/** The lines `cilium monitor` prints for a message, each without its newline. An empty list: not shown at this verbosity. */
export function formatMessage(message: Shown, options: { verbosity: Verbosity; hex?: boolean; ifname: InterfaceName }): string[] {
  const { verbosity, hex = false, ifname } = options
  if (message.type === 'agent') return [verbosity === 'json' ? goJson(message) : `>> ${message.subtype}: ${agentText(message.message)}`]
  if (message.type === 'l7') return [verbosity === 'json' ? goJson(recordJson(message.record)) : recordText(message.record)]
  if (verbosity === 'json') return [goJson(toJson(message, ifname))]
  if (verbosity === 'plain') return plain(message, ifname)
  if (message.type === 'debug') return [`${cpuPrefix(message)} MARK ${mark(message)} FROM ${message.source} DEBUG: ${debugText(message, ifname)}`]
  return [rule, verboseHead(message, ifname), ...details(message.packet, hex)]
}

export const lostLine = (cpu: number, lost: number): string => `CPU ${String(cpu).padStart(2, '0')}: Lost ${lost} events`

/** `10.0.0.1:80 -> 10.0.0.2:1025 tcp SYN, ACK`, or as much as can be told. */
export function summary(packet: Buffer): string {
  const { layers } = dissect(packet)
  const find = (...names: Layer['name'][]) => layers.find((layer) => names.includes(layer.name))
  const [eth, ip, icmp, transport] = [find('Ethernet'), find('IPv4', 'IPv6'), find('ICMPv4', 'ICMPv6'), find('TCP', 'UDP')]
  if (ip !== undefined && icmp !== undefined) return `${ip.src} -> ${ip.dst} ${icmp.info}`
  if (ip !== undefined && transport !== undefined) {
    const host = (address: string | undefined) => (ip.name === 'IPv6' ? `[${address}]` : address)
    const kind = transport.name === 'TCP' ? `tcp ${transport.info}` : 'udp'
    return `${host(ip.src)}:${transport.src} -> ${host(ip.dst)}:${transport.dst} ${kind}`
  }
  if (ip !== undefined) return `${ip.src} -> ${ip.dst}`
  return eth === undefined ? '[unknown]' : `${eth.src} -> ${eth.dst} ${eth.info}`
}

function plain(message: MonitorMessage, ifname: InterfaceName): string[] {
  switch (message.type) {
    case 'drop':
      return [`xx drop (${dropReason(message.reason)}) flow ${mark(message)} to endpoint ${message.dstId}, identity ${identities(message)}: ${summary(message.packet)}`]
    case 'trace':
      return [`${traceSummary(message)} flow ${mark(message)} identity ${identities(message)} state ${connectionState(message.state)} ifindex ${ifname(message.ifindex)}: ${summary(message.packet)}`]
    case 'capture': {
      const prefix = capturePrefix(message, ifname)
      return prefix === '' ? [] : [`${prefix}: ${summary(message.packet)}`]
    }
    case 'debug':
      return []
  }
}

function verboseHead(message: DropMessage | TraceMessage | CaptureMessage, ifname: InterfaceName): string {
  const head = `${cpuPrefix(message)} MARK ${mark(message)} FROM ${message.source}`
  if (message.type === 'capture') return `${head} DEBUG: ${message.bytes} bytes, ${captureText(message)}`
  const identity = message.srcIdentity !== 0 || message.dstIdentity !== 0 ? `, identity ${identities(message)}` : ''
  const endpoint = message.dstId !== 0 ? `, to endpoint ${message.dstId}` : ''
  if (message.type === 'drop') return `${head} DROP: ${message.bytes} bytes, reason ${dropReason(message.reason)}, to ifindex ${ifname(message.ifindex)}${identity}${endpoint}`
  const via = message.ifindex !== 0 ? `, interface ${ifname(message.ifindex)}` : ''
  return `${head} ${observationPoint(message.point)}: ${message.bytes} bytes, state ${connectionState(message.state)}${via}${identity}${endpoint}`
}

function details(packet: Buffer, hex: boolean): string[] {
  if (packet.length === 0) return []
  if (hex) return hexDump(packet)
  const { layers, truncated } = dissect(packet)
  return [...layers.map((layer) => layer.text), ...(truncated ? ['  Packet has been truncated'] : [])]
}

function toJson(message: MonitorMessage, ifname: InterfaceName): unknown {
  const cpu = cpuPrefix(message)
  if (message.type === 'debug') return { cpu, type: 'debug', message: debugText(message, ifname) }
  const { source, bytes } = message
  const head = { cpu, type: message.type, mark: mark(message) }
  if (message.type === 'capture') {
    const prefix = capturePrefix(message, ifname)
    return { ...head, message: captureText(message), ...(prefix === '' ? {} : { prefix }), source, bytes, summary: summary(message.packet) }
  }
  const what = message.type === 'drop'
    ? { reason: dropReason(message.reason) }
    : { state: connectionState(message.state), observationPoint: observationPoint(message.point), traceSummary: traceSummary(message) }
  const { srcIdentity: srcLabel, dstIdentity: dstLabel, dstId: dstID } = message
  return { ...head, ifindex: ifname(message.ifindex), ...what, source, bytes, srcLabel, dstLabel, dstID, summary: jsonSummary(message.packet) }
}

function jsonSummary(packet: Buffer): Record<string, unknown> {
  const { layers } = dissect(packet)
  const texts = Object.fromEntries(layers.map((layer) => [layer.name.toLowerCase(), layer.text]))
  const flow = (key: string, ...names: Layer['name'][]) => {
    const layer = layers.find(({ name }) => names.includes(name))
    return layer === undefined ? {} : { [key]: { src: layer.src, dst: layer.dst } }
  }
  return { ...texts, ...flow('l2', 'Ethernet'), ...flow('l3', 'IPv4', 'IPv6'), ...flow('l4', 'TCP', 'UDP') }
}

function traceSummary({ point, source, dstId }: TraceMessage): string {
  switch (observationPoint(point)) {
    case 'to-endpoint': return `-> endpoint ${dstId}`
    case 'to-host': return '-> host from'
    case 'from-endpoint': return `<- endpoint ${source}`
    case 'to-proxy': return '-> proxy'
    case 'to-stack': return '-> stack'
    case 'to-overlay': return '-> overlay'
    case 'from-proxy': return '<- proxy'
    case 'from-host': return '<- host'
    case 'from-stack': return '<- stack'
    case 'from-overlay': return '<- overlay'
    default: return 'unknown trace'
  }
}

const labelList = (labels: readonly string[]): string => `([${labels.join(' ')}])`

function recordText({ type, observationPoint, source, destination, verdict, http: { method, host, path, code } }: L7Record): string {
  const ends = `from ${source.id} ${labelList(source.labels)} to ${destination.id} ${labelList(destination.labels)}, identity ${source.identity}->${destination.identity}`
  return `${observationPoint === 'Ingress' ? '<-' : '->'} ${type} http ${ends}, verdict ${verdict} ${method} ${host === '' ? path : `http://${host}${path}`} => ${code}`
}

/** Cilium's LogRecordNotifyVerbose: its http is as Go prints a struct with an url.URL and an http.Header in it. */
function recordJson({ type, observationPoint, source, destination, verdict, http: { code, method, host, path, protocol, rawHeaders } }: L7Record): unknown {
  const [, pathname = path, query = ''] = /^([^?]*)\??(.*)$/s.exec(path) ?? []
  const headers = new Map<string, string[]>()
  for (const [name, value] of pairs(rawHeaders)) headers.set(canonical(name), [...(headers.get(canonical(name)) ?? []), value])
  return {
    type: 'logRecord', observationPoint, flowType: type, l7Proto: 'http', srcEpID: source.id, srcEpLabels: source.labels, srcIdentity: source.identity,
    dstEpID: destination.id, dstEpLabels: destination.labels, dstIdentity: destination.identity, verdict,
    http: {
      Code: code, Method: method, URL: { Scheme: host === '' ? '' : 'http', Opaque: '', User: null, Host: host, Path: pathname, RawPath: '', ForceQuery: false, RawQuery: query, Fragment: '' },
      Protocol: protocol, Header: Object.fromEntries(headers),
    },
  }
}

/** As Go writes the names of headers. */
const canonical = (name: string): string => name.toLowerCase().replace(/(^|-)([a-z])/g, (_, dash: string, letter: string) => dash + letter.toUpperCase())

const agentText = (message: unknown): string => (typeof message === 'string' ? message : goJson(message))
const cpuPrefix = ({ cpu }: { cpu: number }): string => `CPU ${String(cpu).padStart(2, '0')}:`
const mark = ({ hash }: { hash: number }): string => `0x${hash.toString(16)}`
const identities = ({ srcIdentity, dstIdentity }: { srcIdentity: number; dstIdentity: number }): string => `${srcIdentity}->${dstIdentity}`
