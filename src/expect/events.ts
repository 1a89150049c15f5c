import type { EventWindow, Point } from '../monitor/index.ts'
import { isPacket } from '../monitor/index.ts'
import { dropMismatches, nearest, traceMismatches, type DropCriteria, type TraceCriteria } from './match-event.ts'
import { atMost, compose, endText } from './message.ts'
import type { FlowEnd, Transport } from './types.ts'

export interface Verdict { readonly pass: boolean; readonly message: () => string }

export interface FlowCriteria {
  readonly from: FlowEnd
  readonly to: FlowEnd
  readonly protocol: Transport
  /** Port at the `to` end; absent for ICMP. */
  readonly port?: number
  /** Observation points that the packets must have been seen at. */
  readonly via: readonly Point[]
  /** State at to-endpoint of the first direction. Default: not compared. */
  readonly state?: 'new' | 'established'
  /** The answers too: the same points the other way, state `reply` at to-endpoint. */
  readonly bothDirections?: boolean
}

/** Only a complete window can show that something did not happen. */
function incomplete(window: EventWindow, claim: string): Verdict {
  return { pass: true, message: () => compose(`cannot say that ${claim}: events are missing from the window`, [['missing', window.gaps]]) }
}

const about = (window: EventWindow): string => `${window.events.length} events of ${window.nodes.join(', ')}; ${window.gaps.length ? `not complete: ${window.gaps.join('; ')}` : 'complete'}`

const dropText = (want: DropCriteria): string =>
  ['a drop', want.reason === undefined ? '' : `with reason ${[want.reason].flat().join(' or ')}`, want.from === undefined ? '' : `from ${endText(want.from)}`, want.to === undefined ? '' : `to ${endText(want.to)}`, want.protocol ?? '', want.dstPort === undefined ? '' : `port ${want.dstPort}`, want.node === undefined ? '' : `on ${want.node}`]
    .filter(Boolean).join(' ')

/** Whether the window holds a drop event that agrees in everything that is named. */
export function containsDrop(window: EventWindow, want: DropCriteria, isNot: boolean): Verdict {
  const found = window.events.filter((event) => isPacket(event) && dropMismatches(event, want).length === 0)
  if (isNot && found.length === 0 && window.gaps.length) return incomplete(window, `there was no ${dropText(want).replace(/^a /, '')}`)
  if (found.length) return { pass: true, message: () => compose(`expected no ${dropText(want).replace(/^a /, '')}`, [['but seen', atMost(found.map((event) => `${event.node}: ${event.raw.split('\n')[0]}`), 5)]]) }
  const near = nearest(window.events, (event) => dropMismatches(event, want))
  return { pass: false, message: () => compose(`expected ${dropText(want)}`, [['window', [about(window)]], ['nearest events', near.length ? near : ['none between these addresses']]]) }
}

/** The trace events that make up a flow, in words and criteria. */
export function flowSteps(want: FlowCriteria): { readonly text: string; readonly criteria: TraceCriteria }[] {
  const step = (from: FlowEnd, to: FlowEnd, point: Point, ports: Pick<TraceCriteria, 'srcPort' | 'dstPort'>, state: string | undefined) => ({
    text: `${point} ${from.name} -> ${to.name}${state === undefined ? '' : ` state ${state}`}`,
    criteria: { point, from, to, protocol: want.protocol, ...ports, ...(state === undefined ? {} : { state }) },
  })
  const there = want.via.map((point) => step(want.from, want.to, point, want.port === undefined ? {} : { dstPort: want.port }, point === 'to-endpoint' ? want.state : undefined))
  if (!want.bothDirections) return there
  return [...there, ...want.via.map((point) => step(want.to, want.from, point, want.port === undefined ? {} : { srcPort: want.port }, point === 'to-endpoint' ? 'reply' : undefined))]
}

/** Whether every step of the flow has its trace event. */
export function containsFlow(window: EventWindow, want: FlowCriteria, isNot: boolean): Verdict {
  const headline = `${want.protocol} flow from ${endText(want.from)} to ${endText(want.to)}${want.port === undefined ? '' : ` port ${want.port}`}${want.bothDirections ? ', both directions' : ''}`
  const steps = flowSteps(want).map((step) => ({ ...step, seen: window.events.find((event) => isPacket(event) && traceMismatches(event, step.criteria).length === 0) }))
  const missing = steps.filter(({ seen }) => !seen)
  if (isNot && missing.length && window.gaps.length) return incomplete(window, `there was no ${headline}`)
  if (missing.length === 0) return { pass: true, message: () => compose(`expected no ${headline}`, [['but seen', steps.map(({ text }) => text)]]) }
  return {
    pass: false,
    message: () => compose(`expected a ${headline}`, [
      ['steps', steps.map(({ text, seen }) => `${seen ? '✓' : '✗'} ${text}`)],
      ['window', [about(window)]],
      ...missing.slice(0, 2).map(({ text, criteria }) => {
        const near = nearest(window.events, (event) => traceMismatches(event, criteria), 3)
        return [`nearest to "${text}"`, near.length ? near : ['no event between these addresses']] as const
      }),
    ]),
  }
}
