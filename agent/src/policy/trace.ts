import type { Labels } from '../identity/labels.ts'
import { egressPeers, ingressPeers, isLimited, isPorted, type Peers, type PortProtocol, type Rule, type Selector } from './rule.ts'
import type { EnforcementMode } from './resolve.ts'
import { matches, type NamespaceLabels } from './selector.ts'

export interface TraceRequest { from: Labels; to: Labels; /** None: all ports. */ dports: { port: number; protocol: 'TCP' | 'UDP' | 'ANY' }[]; verbose: boolean }
export interface TraceResult { log: string; verdict: 'ALLOWED' | 'DENIED' }
interface Trace { request: TraceRequest; namespaceLabels: NamespaceLabels; out: string[] }
type Side = 'ingress' | 'egress'

/** Tells step by step whether rules let one set of labels reach another, in the words of Cilium 1.2. Labels only: rules for prefixes and services match none. */
export function tracePolicy(rules: Rule[], mode: EnforcementMode, namespaceLabels: NamespaceLabels, request: TraceRequest): TraceResult {
  const out = [`Tracing From: [${request.from.join(' ')}] => To: [${request.to.join(' ')}] Ports: [${request.dports.map(({ port, protocol }) => `${port}/${protocol}`).join(' ')}]`]
  const trace: Trace = { request, namespaceLabels, out }
  const selects = (side: Side, labels: Labels) => rules.some((rule) => (rule[side]?.length ?? 0) > 0 && matches(rule.endpointSelector, labels, namespaceLabels))
  const [into, outOf] = [selects('ingress', request.to), selects('egress', request.from)]
  if (mode === 'never' || (mode === 'default' && !into && !outOf)) {
    const why = mode === 'never' ? 'Policy enforcement is disabled for the daemon.'
      : 'Policy enforcement is disabled because no rules in the policy repository match any endpoint selector from the provided destination sets of labels.'
    return { log: [...out, `  ${why}`, 'Label verdict: allowed', ''].join('\n'), verdict: 'ALLOWED' }
  }
  const ingress = !into && mode === 'default' ? true : side(trace, rules, 'ingress')
  const egress = !outOf && mode === 'default' ? true : side(trace, rules, 'egress')
  return { log: out.join('\n'), verdict: ingress && egress ? 'ALLOWED' : 'DENIED' }
}

/** First by labels alone, then by ports. */
function side(trace: Trace, rules: Rule[], direction: Side): boolean {
  const { out, request } = trace
  const [own, other] = direction === 'ingress' ? [request.to, request.from] : [request.from, request.to]
  const byLabels = stage(trace, rules, direction, own, (peers) => labelStage(trace, peers, direction, other))
  const verdict = byLabels ? 'allowed' : 'undecided'
  out.push(direction === 'ingress' ? `Label verdict: ${verdict}` : `Egress label verdict: ${verdict}`, '')
  if (byLabels) return true
  out.push(`Resolving ${direction} port policy for [${own.join(' ')}]`)
  const byPorts = stage(trace, rules, direction, own, (peers) => portStage(trace, peers, direction, other))
  out.push(`L4 ${direction} verdict: ${byPorts ? 'allowed' : 'undecided'}`, '')
  return byPorts
}

function stage(trace: Trace, rules: Rule[], direction: Side, own: Labels, decide: (peers: Peers) => boolean): boolean {
  let selected = 0, allowed = false
  for (const rule of rules) {
    const name = JSON.stringify(rule.endpointSelector)
    if (!matches(rule.endpointSelector, own, trace.namespaceLabels)) {
      if (trace.request.verbose) trace.out.push(`  Rule ${name}: did not select [${own.join(' ')}]`)
      continue
    }
    selected++
    trace.out.push(`* Rule ${name}: selected`)
    const all = direction === 'ingress' ? (rule.ingress ?? []).map(ingressPeers) : (rule.egress ?? []).map(egressPeers)
    for (const peers of all) if (decide(peers)) allowed = true
  }
  trace.out.push(`${selected}/${rules.length} rules selected`, allowed ? 'Found allow rule' : 'Found no allow rule')
  return allowed
}

/** Entities as selectors; `all` and `cluster` (every allocated or reserved identity but the world) are told by themselves. */
function selectorsOf({ endpoints = [], entities = [] }: Peers): Selector[] {
  return [...endpoints, ...entities.map((entity): Selector => {
    if (entity === 'all') return {}
    if (entity === 'cluster') return { matchExpressions: [{ key: 'reserved:world', operator: 'DoesNotExist' }] }
    return { matchLabels: { [`reserved:${entity}`]: '' } }
  })]
}

const meets = (trace: Trace, peers: Peers, selector: Selector, labels: Labels): boolean => [selector, ...(peers.requires ?? [])].every((it) => matches(it, labels, trace.namespaceLabels))

function labelStage(trace: Trace, peers: Peers, direction: Side, other: Labels): boolean {
  let allowed = false
  for (const selector of selectorsOf(peers)) {
    trace.out.push(`    Allows ${direction === 'ingress' ? 'from' : 'to'} labels ${JSON.stringify(selector)}`)
    if (!meets(trace, peers, selector, other)) { trace.out.push(`      Labels [${other.join(' ')}] not found`); continue }
    trace.out.push('      Found all required labels')
    if (isPorted(peers)) trace.out.push('        Rule restricts traffic to specific L4 destinations; deferring policy decision to L4 policy stage')
    else { trace.out.push('+       No L4 restrictions'); allowed = true }
  }
  return allowed
}

function portStage(trace: Trace, peers: Peers, direction: Side, other: Labels): boolean {
  const { out, request } = trace
  if (!isPorted(peers)) return false
  const selectors = selectorsOf(peers)
  if (isLimited(peers) && !selectors.some((selector) => meets(trace, peers, selector, other))) { out.push(`    Labels [${other.join(' ')}] not found`); return false }
  out.push('    Found all required labels')
  let allowed = false
  for (const { ports, rules } of peers.toPorts ?? []) {
    const list = ports.map(({ port, protocol = 'ANY' }) => `{${port} ${protocol}}`).join(' ')
    const from = isLimited(peers) ? `[${selectors.map((selector) => JSON.stringify(selector)).join(' ')}]` : '[{}]'
    out.push(`    Allows ${direction === 'ingress' ? 'Ingress' : 'Egress'} port [${list}] ${direction === 'ingress' ? 'from' : 'to'} endpoints ${from}`)
    // What a request must be is asked when there is one.
    for (const rule of rules?.http ?? []) out.push(`      Restricts to HTTP requests ${JSON.stringify(rule)}`)
    // Without a port in the question every port must be allowed, which none of a list does.
    if (request.dports.length > 0 && request.dports.every((wanted) => ports.some((port) => covers(port, wanted)))) allowed = true
    else out.push('      No port match found')
  }
  return allowed
}

const covers = ({ port, protocol = 'ANY' }: PortProtocol, wanted: TraceRequest['dports'][number]): boolean => port === String(wanted.port) && (protocol === 'ANY' || wanted.protocol === 'ANY' || protocol === wanted.protocol)
