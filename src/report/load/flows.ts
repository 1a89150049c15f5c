import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { identityText } from '../../monitor/identities.ts'
import type { MonitorEvent, PacketEvent } from '../../monitor/types.ts'

/** One monitor event as a row of the flows table. */
export interface FlowRow {
  /** Line of the node's file, from 1. */
  readonly line: number
  readonly node: string
  readonly type: string
  /** Drop reason, trace point, L7 verdict: what the event says became of the packet. */
  readonly verdict: string
  /** `10.0.0.1:80 -> 10.0.0.2:81 tcp SYN`, or the message. */
  readonly packet: string
  /** Identities, endpoint, interface, connection state. */
  readonly detail: string
  readonly raw: string
}

/** The events of a run, node after node. */
export interface FlowLog {
  /** Events on disk; `rows` may hold fewer. */
  readonly total: number
  readonly rows: readonly FlowRow[]
  /** Paths in the run folder. */
  readonly files: readonly string[]
  /** Lines that were no JSON event: a file cut off at its end. */
  readonly broken: number
}

/** Rows kept for one run: thousands stay fast in a browser. */
export const MAX_ROWS = 5000
const MAX_RAW = 1000

/** Reads `monitor/<node>.jsonl`. Undefined when there is none. Above the limit every drop is kept first, then the newest of the rest. */
export function loadFlows(dir: string, limit = MAX_ROWS): FlowLog | undefined {
  if (!existsSync(dir)) return undefined
  const names = readdirSync(dir).filter((name) => name.endsWith('.jsonl')).sort()
  if (names.length === 0) return undefined
  let broken = 0
  const rows = names.flatMap((name) => readFileSync(join(dir, name), 'utf8').split('\n').flatMap((text, i) => {
    if (text.trim() === '') return []
    const row = rowOf(text, i + 1, basename(name, '.jsonl'))
    if (!row) broken++
    return row ? [row] : []
  }))
  return { total: rows.length, rows: mostTelling(rows, limit), files: names.map((name) => `monitor/${name}`), broken }
}

/** Drops and losses first, then the newest; in their first order. */
function mostTelling(rows: readonly FlowRow[], limit: number): readonly FlowRow[] {
  if (rows.length <= limit) return rows
  const first = new Set(rows.filter((row) => row.type === 'drop' || row.type === 'lost').slice(-limit))
  for (let i = rows.length - 1; i >= 0 && first.size < limit; i--) first.add(rows[i]!)
  return rows.filter((row) => first.has(row))
}

function rowOf(text: string, line: number, node: string): FlowRow | undefined {
  try {
    const event = JSON.parse(text) as MonitorEvent
    if (typeof event.type !== 'string') return undefined
    const raw = typeof event.raw === 'string' ? event.raw : text
    const { verdict, packet, detail } = said(event)
    return { line, node: event.node || node, type: event.type, verdict: verdict ?? '', packet: packet ?? '', detail, raw: raw.length > MAX_RAW ? `${raw.slice(0, MAX_RAW)} …` : raw }
  } catch {
    return undefined
  }
}

type Said = Pick<FlowRow, 'verdict' | 'packet' | 'detail'>
const words = (...parts: (string | undefined | false)[]): string => parts.filter(Boolean).join(' · ')

function said(event: MonitorEvent): Said {
  switch (event.type) {
    case 'drop': return { verdict: event.reason, packet: event.summary.text, detail: ends(event) }
    case 'trace': return { verdict: event.point, packet: event.summary.text, detail: words(event.state, ends(event)) }
    case 'capture': return { verdict: event.prefix, packet: event.summary.text, detail: words(event.message, ends(event)) }
    case 'l7': return { verdict: event.verdict, packet: [event.protocol, event.method, event.url].filter(Boolean).join(' '), detail: words(event.direction, event.status !== undefined && `status ${event.status}`, identities(event)) }
    case 'agent': return { verdict: event.subtype, packet: typeof event.message === 'string' ? event.message : JSON.stringify(event.message) ?? '', detail: '' }
    case 'debug': return { verdict: '', packet: event.message, detail: event.source === undefined ? '' : `endpoint ${event.source}` }
    case 'lost': return { verdict: `${event.count} events lost`, packet: `CPU ${event.cpu ?? '?'}: the perf ring overflowed`, detail: '' }
    default: return { verdict: '', packet: event.raw ?? '', detail: '' }
  }
}

function ends(event: PacketEvent): string {
  return words(
    identities(event),
    event.source !== undefined && event.source !== 0 && `from endpoint ${event.source}`,
    event.dstEndpoint !== undefined && event.dstEndpoint !== 0 && `to endpoint ${event.dstEndpoint}`,
    event.interface !== undefined && event.interface !== '0' && `if ${event.interface}`,
  )
}

const identities = ({ srcIdentity, dstIdentity }: { srcIdentity?: number; dstIdentity?: number }): string =>
  srcIdentity === undefined && dstIdentity === undefined ? '' : `identity ${identityText(srcIdentity)} → ${identityText(dstIdentity)}`
