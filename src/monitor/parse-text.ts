import { identityNumber } from './identities.ts'
import { reasonCode, reasonName } from './reasons.ts'
import { parseLayer, parseSummary } from './summary.ts'
import { POINTS, type AgentEvent, type ConnectionState, type MonitorEvent, type Point } from './types.ts'

const STATES: readonly string[] = ['new', 'established', 'reply', 'related'] satisfies ConnectionState[]
const NO_PACKET = { proto: 'unknown', text: '' } as const

const number = (text: string | undefined): number | undefined => (text === undefined || text === '' ? undefined : Number(text))
/** Leaves out what is undefined, as exactOptionalPropertyTypes wants it. */
export function defined<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never
}

/** A drop reason printed as name or number; versions from 1.11 on put the kernel's error behind it (`FIB lookup failed, 4`). */
export function reasonOf(printed: string): { reason: string; reasonCode?: number } {
  const bare = printed.replace(/, -?\d+$/, '')
  const text = reasonCode(printed) === undefined && reasonCode(bare) !== undefined ? bare : printed
  const code = reasonCode(text)
  const name = /^\d+$/.test(text.trim()) && code !== undefined ? reasonName(code) ?? text : text
  return { reason: name, ...(code === undefined ? {} : { reasonCode: code }) }
}

export const stateOf = (text: string | undefined): ConnectionState | undefined => (text !== undefined && STATES.includes(text) ? (text as ConnectionState) : undefined)
export const pointOf = (text: string | undefined): Point | undefined => POINTS.find((point) => point === text)

/** An l7 event's direction: an arrow in text, a word in JSON. */
export const directionOf = (text: string): string => (text === '<-' || text === 'Ingress' ? 'ingress' : text === '->' || text === 'Egress' ? 'egress' : text)

/** Message of an agent event: JSON where it is JSON. */
export function agentMessage(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}

type Rule = readonly [RegExp, (groups: Readonly<Record<string, string | undefined>>, raw: string) => MonitorEvent | undefined]

const head = (g: Readonly<Record<string, string | undefined>>, raw: string) => ({ raw, node: '', ...defined({ cpu: number(g['cpu']), mark: number(g['mark']), source: number(g['source']) }) })
const ids = (g: Readonly<Record<string, string | undefined>>) => defined({ srcIdentity: identityNumber(g['from']), dstIdentity: identityNumber(g['to']) })

/** Point and endpoints of a trace's prefix, `-> endpoint 5` or `<- overlay`. */
function prefixOf(prefix: string): { point: Point; source?: number; dstEndpoint?: number } | undefined {
  const found = /^(->|<-) (endpoint|proxy|host|stack|overlay|network|crypto)(?: (?:from|(?:port )?(\d+)))?$/.exec(prefix)
  const point = found ? pointOf(`${found[1] === '->' ? 'to' : 'from'}-${found[2]}`) : undefined
  if (!found || !point) return undefined
  const id = number(found[3])
  return { point, ...(id === undefined || point === 'to-proxy' ? {} : point === 'to-endpoint' ? { dstEndpoint: id } : { source: id }) }
}

const VERBOSE = String.raw`^CPU (?<cpu>\d+): MARK (?<mark>\S+) FROM (?<source>\d+) `
const TAIL = String.raw`(?:,(?: ,)? identity (?<from>\S+)->(?<to>[^\s,]+))?(?:, orig-ip \S+?)?(?:, to (?:endpoint (?<ep>\d+)|proxy-port \d+))?`

/** The printf strings of Cilium 1.0 to the newest, as its sources have them (pkg/monitor); testdata/versions.txt has a line of each. */
const RULES: readonly Rule[] = [
  [/^CPU (?<cpu>\d+): Lost (?<count>\d+) events/, (g, raw) => ({ type: 'lost', ...head(g, raw), count: Number(g['count']) })],
  [/^Listening for events on (?<cpus>\d+) CPUs/, (g, raw) => ({ type: 'header', raw, node: '', cpus: Number(g['cpus']) })],
  [/^(Press Ctrl-C to quit|-{20,}|--|\s*)$|^(time=\S+ )?level=info msg="Initializing dissection cache\.\.\."/, (_, raw) => ({ type: 'header', raw, node: '' })],
  [/^xx drop \((?<reason>.*)\)(?: flow (?<mark>0x[0-9a-f]+|\d+)\s*,?)? to endpoint (?<ep>\d+),.*?identity (?<from>\S+)->(?<to>\S+): (?<summary>.*)$/, (g, raw) => ({
    type: 'drop', ...head(g, raw), ...reasonOf(g['reason'] ?? ''), ...ids(g), ...defined({ dstEndpoint: number(g['ep']) }), summary: parseSummary(g['summary'] ?? ''),
  })],
  [/^(?<prefix>(?:->|<-) .+?)(?: encrypted *)? flow (?<mark>0x[0-9a-f]+|\d+)\s*,? identity (?<from>\S+)->(?<to>\S+) state (?<state>\S+) ifindex (?<if>[^\s:]+)(?: orig-ip \S+)?: (?<summary>.*)$/, (g, raw) => {
    const prefix = prefixOf(g['prefix'] ?? '')
    if (!prefix) return undefined
    return { type: 'trace', ...head(g, raw), ...prefix, ...ids(g), ...defined({ state: stateOf(g['state']), interface: g['if'] }), summary: parseSummary(g['summary'] ?? '') }
  }],
  [new RegExp(`${VERBOSE}DROP: (?<bytes>\\d+) bytes, reason (?<reason>.+?)(?:, to ifindex (?<if>[^\\s,]+))?${TAIL}$`), (g, raw) => ({
    type: 'drop', ...head(g, raw), ...reasonOf(g['reason'] ?? ''), ...ids(g), ...defined({ bytes: number(g['bytes']), interface: g['if'], dstEndpoint: number(g['ep']) }), summary: NO_PACKET,
  })],
  [new RegExp(`${VERBOSE}DEBUG: (?<bytes>\\d+) bytes, (?<message>.*)$`), (g, raw) => ({
    type: 'capture', ...head(g, raw), prefix: '', ...defined({ bytes: number(g['bytes']), message: g['message'] }), summary: NO_PACKET,
  })],
  [new RegExp(`${VERBOSE}DEBUG: (?<message>.*)$`), (g, raw) => ({ type: 'debug', ...head(g, raw), message: g['message'] ?? '' })],
  [new RegExp(`${VERBOSE}(?<point>(?:to|from)-[a-z]+): (?<bytes>\\d+) bytes(?: \\(\\d+ captured\\))?, state (?<state>[a-z0-9-]+)(?:, interface (?<if>[^\\s,]+))?${TAIL}$`), (g, raw) => {
    const point = pointOf(g['point'])
    if (!point) return undefined
    return { type: 'trace', ...head(g, raw), point, ...ids(g), ...defined({ state: stateOf(g['state']), interface: g['if'], bytes: number(g['bytes']), dstEndpoint: number(g['ep']) }), summary: NO_PACKET }
  }],
  [/^(?<direction>->|<-|[A-Za-z]+) (?<kind>\S+) (?<protocol>\S+) from (?<src>\d+) \(.*?\) to (?<dst>\d+) \(.*?\), identity (?<from>[^\s,]+)->(?<to>[^\s,]+), verdict (?<verdict>\w+)(?:\s+(?<method>\S+) (?<url>\S+) => (?<status>\d+))?.*$/, (g, raw) => ({
    type: 'l7', raw, node: '', direction: directionOf(g['direction'] ?? ''), protocol: g['protocol'] ?? '', verdict: g['verdict'] ?? '', ...ids(g),
    ...defined({ flow: g['kind'], srcEndpoint: number(g['src']), dstEndpoint: number(g['dst']), method: g['method'], url: g['url'], status: number(g['status']) }),
  })],
  [/^(?<direction>->|<-|[A-Za-z]+) (?<kind>Response) (?<protocol>\S+) to (?<src>\d+) \(.*?\) from (?<dst>\d+) \(.*?\), identity (?<from>[^\s,]+)->(?<to>[^\s,]+), verdict (?<verdict>\w+)(?:\s+(?<method>\S+) (?<url>\S+) => (?<status>\d+))?.*$/, (g, raw) => ({
    type: 'l7', raw, node: '', direction: directionOf(g['direction'] ?? ''), protocol: g['protocol'] ?? '', verdict: g['verdict'] ?? '', ...ids(g),
    ...defined({ flow: g['kind'], srcEndpoint: number(g['src']), dstEndpoint: number(g['dst']), method: g['method'], url: g['url'], status: number(g['status']) }),
  })],
  // 1.8 wrote `ingress true`, and had no protocol; authentication came with 1.14.
  [/^Policy verdict log: flow (?<mark>0x[0-9a-f]+|\d+) local EP ID (?<ep>\d+), remote ID (?<remote>[^\s,]+)(?:, proto \d+)?, (?<direction>ingress false|ingress|egress)(?: true)?, action (?<action>\w+)(?:, auth: [^,]+)?, match (?<match>[^,]+), (?<summary>.*)$/, (g, raw) => ({
    type: 'verdict', raw, node: '', endpoint: Number(g['ep']), direction: g['direction'] === 'ingress' ? 'ingress' : 'egress', action: g['action'] ?? '', match: g['match'] ?? '',
    ...defined({ mark: number(g['mark']), remoteIdentity: identityNumber(g['remote']) }), summary: parseSummary(g['summary'] ?? ''),
  })],
  // Translations in sockets (1.13 and later): no packet, so no event that an assertion could be about.
  [/^CPU (?<cpu>\d+): (?<message>\[(?:pre|post)-xlate-\w+\] .*)$/, (g, raw) => ({ type: 'debug', ...head(g, raw), message: g['message'] ?? '' })],
  [/^>> (?<subtype>[^:]+): (?<message>.*)$/, (g, raw): AgentEvent => ({ type: 'agent', raw, node: '', subtype: g['subtype'] ?? '', message: agentMessage(g['message'] ?? '') })],
  [/^(?<prefix>(?:->|<-) (?:load-balancer |proxy port )?\S+?|== v[46]->v[46] \d+): (?<summary>\S+ -> .*|\[unknown\])$/, (g, raw) => ({
    type: 'capture', raw, node: '', prefix: g['prefix'] ?? '', summary: parseSummary(g['summary'] ?? ''),
  })],
]

/** One line of `cilium monitor` in its plain or verbose form. */
export function parseText(line: string): MonitorEvent {
  for (const [pattern, make] of RULES) {
    const found = pattern.exec(line)
    const event = found && make(found.groups ?? {}, line)
    if (event) return event
  }
  const layer = parseLayer(line)
  return layer ? { type: 'layer', raw: line, node: '', ...layer } : { type: 'unparsed', raw: line, node: '' }
}
