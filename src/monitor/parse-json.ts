import { z } from 'zod'
import { identityNumber } from './identities.ts'
import { agentMessage, defined, directionOf, pointOf, reasonOf, stateOf } from './parse-text.ts'
import { parseLayer, parseSummary, summaryOfLayers } from './summary.ts'
import type { MonitorEvent, PacketSummary } from './types.ts'

const word = z.union([z.string(), z.number()])
/** Number printed as such or as text, `CPU 01:`, `0x1f`. */
const loose = word.transform((value) => {
  if (typeof value === 'number') return value
  const found = /0x[0-9a-f]+|\d+/i.exec(value)
  return found ? Number(found[0]) : undefined
}).optional()
/** An identity as number or name; newer Ciliums give `{id}`. */
const identity = z.union([word, z.object({ id: word })]).transform((value) => identityNumber(typeof value === 'object' ? value.id : value)).optional()
const ends = z.object({ src: word.optional(), dst: word.optional() })

/** The keys of `cilium monitor -j`, all versions together; unknown keys are left alone. */
const schema = z.object({
  type: z.string(),
  cpu: loose,
  mark: loose,
  source: z.unknown().optional(),
  bytes: loose,
  reason: word.optional(),
  state: word.optional(),
  observationPoint: z.string().optional(),
  ifindex: word.optional(),
  /** Of drops, from 1.12 on. */
  Ifindex: word.optional(),
  interface: word.optional(),
  srcLabel: identity,
  dstLabel: identity,
  dstID: loose,
  prefix: z.string().optional(),
  message: z.unknown().optional(),
  subtype: z.string().optional(),
  summary: z.union([z.string(), z.record(z.string(), z.unknown())]).optional(),
  count: loose,
  verdict: z.string().optional(),
  l7Proto: z.string().optional(),
  observationPointL7: z.string().optional(),
  flowType: z.string().optional(),
  srcEpID: loose,
  dstEpID: loose,
  srcIdentity: identity,
  dstIdentity: identity,
  http: z.looseObject({ Method: z.string().optional(), URL: z.unknown().optional(), Code: z.number().optional() }).nullish(),
})
type Parsed = z.infer<typeof schema>

/** Go's url.URL, as its fields are printed. */
const goUrl = z.object({ Scheme: z.string(), Host: z.string(), Path: z.string(), RawQuery: z.string().optional() })

/** A URL printed as text or as Go's structure. */
function urlOf(url: unknown): string | undefined {
  const parts = goUrl.safeParse(url).data
  if (!parts) return text(url)
  return `${parts.Host === '' ? '' : `${parts.Scheme || 'http'}://${parts.Host}`}${parts.Path}${parts.RawQuery ? `?${parts.RawQuery}` : ''}`
}

/** Packet headers of a JSON summary: gopacket layers where it has them, completed by its `l2`, `l3`, `l4` ends; or a one-line text. */
function summaryOf(summary: Parsed['summary']): PacketSummary {
  if (summary === undefined) return { proto: 'unknown', text: '' }
  if (typeof summary === 'string') return parseSummary(summary)
  const layers = new Map<string, Readonly<Record<string, string>>>()
  for (const [name, value] of Object.entries(summary)) {
    const layer = typeof value === 'string' ? parseLayer(value) : undefined
    if (layer) layers.set(name.toLowerCase(), layer.fields)
  }
  const [l3, l4] = [ends.safeParse(summary['l3']).data, ends.safeParse(summary['l4']).data]
  if (l3 && !layers.has('ipv4') && !layers.has('ipv6')) layers.set('ipv4', { SrcIP: String(l3.src), DstIP: String(l3.dst) })
  if (l4 && !layers.has('tcp') && !layers.has('udp')) layers.set(summary['tcp'] === undefined ? 'udp' : 'tcp', { SrcPort: String(l4.src), DstPort: String(l4.dst) })
  return summaryOfLayers(layers)
}

/** One JSON line of `cilium monitor`; undefined when its object is no monitor message. */
export function parseJson(line: string): MonitorEvent | undefined {
  const parsed = schema.safeParse(agentMessage(line))
  return parsed.success ? eventOf(parsed.data, line) : undefined
}

function eventOf(p: Parsed, raw: string): MonitorEvent | undefined {
  const common = { raw, node: '', ...defined({ cpu: p.cpu }) }
  const source = z.union([z.number(), z.object({ ID: z.number().optional() }).transform((value) => value.ID)]).safeParse(p.source).data
  const packet = () => ({
    ...common,
    ...defined({ mark: p.mark, source, srcIdentity: p.srcLabel, dstIdentity: p.dstLabel, dstEndpoint: p.dstID, bytes: p.bytes, interface: [p.ifindex, p.Ifindex, p.interface].find((name) => name !== undefined)?.toString() }),
    summary: summaryOf(p.summary),
  })
  switch (p.type) {
    case 'drop':
      return { type: 'drop', ...packet(), ...reasonOf(String(p.reason ?? '')) }
    case 'trace': {
      const point = pointOf(p.observationPoint)
      return point && { type: 'trace', ...packet(), point, ...defined({ state: stateOf(p.state === undefined ? undefined : String(p.state)) }) }
    }
    case 'capture':
      return { type: 'capture', ...packet(), prefix: p.prefix ?? '', ...defined({ message: text(p.message) }) }
    case 'debug':
      return { type: 'debug', ...common, message: text(p.message) ?? '', ...defined({ source, mark: p.mark }) }
    case 'agent':
      return { type: 'agent', ...common, subtype: p.subtype ?? '', message: typeof p.message === 'string' ? agentMessage(p.message) : p.message }
    case 'lost':
      return { type: 'lost', ...common, count: p.count ?? 1 }
    case 'l7':
    case 'logRecord':
      return {
        type: 'l7', ...common, direction: directionOf(p.observationPointL7 ?? p.observationPoint ?? ''), protocol: p.l7Proto ?? (p.http ? 'http' : ''), verdict: p.verdict ?? '',
        ...defined({ flow: p.flowType, srcEndpoint: p.srcEpID, dstEndpoint: p.dstEpID, srcIdentity: p.srcIdentity, dstIdentity: p.dstIdentity, method: p.http?.Method, url: urlOf(p.http?.URL), status: p.http?.Code }),
      }
    default:
      return undefined
  }
}

const text = (value: unknown): string | undefined => (value === undefined || value === null ? undefined : typeof value === 'string' ? value : JSON.stringify(value))
