import { identityText, type EventWindow, type L7Event, type MonitorEvent } from '../monitor/index.ts'
import type { Verdict } from './events.ts'
import { eventText, type Mismatch } from './match-event.ts'
import { atMost, compose, endText } from './message.ts'
import type { FlowEnd } from './types.ts'

/** What an l7 event is compared with; what is absent is not compared. */
export interface RequestCriteria {
  readonly from?: FlowEnd
  readonly to?: FlowEnd
  readonly verdict?: 'Forwarded' | 'Denied' | 'Error'
  readonly method?: string
  /** With the query; the host before it is not compared. */
  readonly path?: string
  readonly status?: number
  /** By whose policy. */
  readonly direction?: 'ingress' | 'egress'
  /** Node whose proxy decided. */
  readonly node?: string
}

const isRequest = (event: MonitorEvent): event is L7Event => event.type === 'l7' && event.protocol === 'http'

const pathOf = (url: string | undefined): string | undefined => url?.replace(/^[a-z]+:\/\/[^/]*/i, '')

function differ(field: string, expected: string | number | undefined, got: string | number | undefined): Mismatch[] {
  return expected === undefined || expected === got ? [] : [{ field, expected: String(expected), got: got === undefined ? 'not given' : String(got) }]
}

const identity = (field: string, want: number | undefined, got: number | undefined): Mismatch[] =>
  want === undefined || want === got ? [] : [{ field, expected: identityText(want), got: identityText(got) }]

/** An endpoint of another node has the id 0 here. */
const endpoint = (field: string, want: number | undefined, got: number | undefined): Mismatch[] => (got === undefined || got === 0 ? [] : differ(field, want, got))

function mismatches(event: L7Event, want: RequestCriteria): Mismatch[] {
  return [
    ...identity('source identity', want.from?.identity, event.srcIdentity),
    ...identity('destination identity', want.to?.identity, event.dstIdentity),
    ...endpoint('source endpoint', want.from?.endpoint, event.srcEndpoint),
    ...endpoint('destination endpoint', want.to?.endpoint, event.dstEndpoint),
    ...differ('verdict', want.verdict, event.verdict),
    ...differ('method', want.method, event.method),
    ...differ('path', want.path, pathOf(event.url)),
    ...differ('status', want.status, event.status),
    ...differ('direction', want.direction, event.direction),
    ...differ('node', want.node, event.node),
  ]
}

const requestText = ({ from, to, verdict, method, path, status, direction, node }: RequestCriteria): string =>
  ['an l7 event', verdict, method, path, status === undefined ? '' : `=> ${status}`, from === undefined ? '' : `from ${endText(from)}`, to === undefined ? '' : `to ${endText(to)}`, direction === undefined ? '' : `by ${direction} policy`, node === undefined ? '' : `on ${node}`]
    .filter(Boolean).join(' ')

/** Whether the window holds an HTTP event of the access log that agrees in everything that is named. */
export function containsRequest(window: EventWindow, want: RequestCriteria, isNot: boolean): Verdict {
  const all = window.events.filter(isRequest)
  const found = all.filter((event) => mismatches(event, want).length === 0)
  if (isNot && found.length === 0 && window.gaps.length) return { pass: true, message: () => compose(`cannot say that there was not ${requestText(want)}: events are missing from the window`, [['missing', window.gaps]]) }
  if (found.length) return { pass: true, message: () => compose(`expected not ${requestText(want)}`, [['but seen', atMost(found.map((event) => `${event.node}: ${eventText(event)}`), 5)]]) }
  const near = all.map((event) => ({ event, diffs: mismatches(event, want) })).sort((a, b) => a.diffs.length - b.diffs.length).slice(0, 4)
  return {
    pass: false,
    message: () => compose(`expected ${requestText(want)}`, [
      ['window', [`${window.events.length} events of ${window.nodes.join(', ')}, ${all.length} of them requests; ${window.gaps.length ? `not complete: ${window.gaps.join('; ')}` : 'complete'}`]],
      ['nearest events', near.length ? near.flatMap(({ event, diffs }) => [`${event.node}: ${eventText(event)}`, ...diffs.map(({ field, expected, got }) => `  ✗ ${field}: ${got} (expected ${expected})`)]) : ['no request at all']],
    ]),
  }
}
