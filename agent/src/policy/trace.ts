import { parseLabel, type Labels } from '../identity/labels.ts'
import { reserved } from '../identity/reserved.ts'
import { anyone, openTo, type Allow } from './allow.ts'
import { alternatives, labelled, portsOf, resolvePolicy, selecting, type Alternative, type NamedPorts, type World } from './resolve.ts'
import { egressPeers, ingressPeers, isLimited, isPorted, type Peers, type Rule, type Selector } from './rule.ts'
import { matches } from './selector.ts'

export interface TraceRequest { from: Labels; to: Labels; /** None: all ports. Of ANY either protocol will do. */ dports: { port: number; protocol: 'TCP' | 'UDP' | 'ANY' }[]; verbose: boolean }
export interface TraceResult { log: string; verdict: 'ALLOWED' | 'DENIED' }
interface Trace { request: TraceRequest; world: World; out: string[] }
type Direction = 'ingress' | 'egress'
/** The end whose policy is asked, and about whom. */
interface Side { direction: Direction; own: Labels; other: Labels; /** The other's identity. */ peer: number; namedPorts: NamedPorts; rules: Rule[]; required: Selector[]; /** What the datapath gets. */ list: Allow[] }

/**
 * Tells step by step whether rules let one set of labels reach another, in the words of Cilium 1.2. The verdict is that of the policies which the datapath
 * gets for endpoints with these labels. A port's name is what pods with just these labels call it; what a request must be is asked when there is one.
 */
export function tracePolicy(present: World, request: TraceRequest): TraceResult {
  const out = [`Tracing From: [${request.from.join(' ')}] => To: [${request.to.join(' ')}] Ports: [${request.dports.map(({ port, protocol }) => `${port}/${protocol}`).join(' ')}]`]
  const from = identified(present, request.from, -1)
  const to = identified(from.world, request.to, -2)
  const { world } = to
  const side = (direction: Direction, own: Labels, other: Labels, peer: number, namedPorts: NamedPorts): Side | undefined => {
    const list = isEndpoint(own) ? resolvePolicy({ labels: own, namedPorts: world.namedPorts(to.identity) }, world)[direction] : undefined
    const rules = selecting(world.rules, own, world.namespaceLabels)
    return list && { direction, own, other, peer, namedPorts, rules, list, required: rules.flatMap((rule) => peersOf(rule, direction)).flatMap(({ requires = [] }) => requires) }
  }
  const ingress = side('ingress', request.to, request.from, from.identity, () => world.namedPorts(to.identity))
  const egress = side('egress', request.from, request.to, to.identity, world.namedPorts)
  if (ingress === undefined && egress === undefined) return { log: [...out, `  ${notEnforced(world)}`, 'Label verdict: allowed', ''].join('\n'), verdict: 'ALLOWED' }
  const trace: Trace = { request, world, out }
  const verdicts = [ingress, egress].map((it) => it === undefined || decide(trace, it))
  return { log: out.join('\n'), verdict: verdicts.every(Boolean) ? 'ALLOWED' : 'DENIED' }
}

const textOf = (labels: Labels): string => labels.map((label) => JSON.stringify(parseLabel(label))).sort().join()
const prefixIn = (labels: Labels): string | undefined => labels.map(parseLabel).find(({ source }) => source === 'cidr')?.key
/** Neither the host nor the world has a policy. */
const isEndpoint = (labels: Labels): boolean => prefixIn(labels) === undefined && !labels.some((label) => ['reserved:host', 'reserved:world'].includes(label))

/** The identity of these labels, or `spare` in a world that has one more. */
function identified(world: World, labels: Labels, spare: number): { world: World; identity: number } {
  const prefix = prefixIn(labels)
  const found = prefix === undefined ? labelled(world).find(([, it]) => textOf(it) === textOf(labels)) : [...world.cidrs].find(([, it]) => it === prefix)
  if (found !== undefined) return { world, identity: found[0] }
  const more = prefix === undefined ? { identities: new Map([...world.identities, [spare, labels]]) } : { cidrs: new Map([...world.cidrs, [spare, prefix]]) }
  return { world: { ...world, ...more }, identity: spare }
}

function notEnforced({ mode }: World): string {
  if (mode === 'never') return 'Policy enforcement is disabled for the daemon.'
  if (mode === 'always') return 'Policy is enforced at endpoints, which neither end is.'
  return 'Policy enforcement is disabled because no rules in the policy repository match any endpoint selector from the provided destination sets of labels.'
}

const peersOf = (rule: Rule, direction: Direction): Peers[] => (direction === 'ingress' ? (rule.ingress ?? []).map(ingressPeers) : (rule.egress ?? []).map(egressPeers))

/** First by labels alone, then by ports. */
function decide(trace: Trace, side: Side): boolean {
  const { out, request } = trace
  const { direction, own, peer, list } = side
  const told = direction === 'ingress' ? 'Label verdict' : 'Egress label verdict'
  if (direction === 'ingress' && peer === reserved.host) {
    out.push('  The host is always allowed in.', `${told}: allowed`, '')
    return true
  }
  const byLabels = openTo(list, peer, 0, 'ANY') !== undefined
  stage(trace, side, byLabels, (peers) => labelStage(trace, side, peers))
  out.push(`${told}: ${byLabels ? 'allowed' : 'undecided'}`, '')
  if (byLabels) return true
  out.push(`Resolving ${direction} port policy for [${own.join(' ')}]`)
  // Without a port in the question every port must be allowed, which none of a list does.
  const byPorts = request.dports.length > 0 && request.dports.every((wanted) => isOpen(list, peer, wanted))
  stage(trace, side, byPorts, (peers) => portStage(trace, side, peers))
  out.push(`L4 ${direction} verdict: ${byPorts ? 'allowed' : 'undecided'}`, '')
  return byPorts
}

const isOpen = (list: Allow[], peer: number, { port, protocol }: TraceRequest['dports'][number]): boolean =>
  (protocol === 'ANY' ? ['TCP', 'UDP'] as const : [protocol]).some((it) => openTo(list, peer, port, it) !== undefined)

function stage(trace: Trace, side: Side, allowed: boolean, tell: (peers: Peers) => void): void {
  for (const rule of trace.world.rules) {
    const name = JSON.stringify(rule.endpointSelector)
    if (!side.rules.includes(rule)) {
      if (trace.request.verbose) trace.out.push(`  Rule ${name}: did not select [${side.own.join(' ')}]`)
      continue
    }
    trace.out.push(`* Rule ${name}: selected`)
    for (const peers of peersOf(rule, side.direction)) tell(peers)
  }
  trace.out.push(`${side.rules.length}/${trace.world.rules.length} rules selected`, allowed ? 'Found allow rule' : 'Found no allow rule')
}

const includes = ({ identities }: Alternative, peer: number): boolean => identities.includes(anyone) || identities.includes(peer)

function labelStage({ out, world }: Trace, { direction, other, peer, required }: Side, peers: Peers): void {
  const way = direction === 'ingress' ? 'from' : 'to'
  for (const selector of peers.requires ?? []) {
    out.push(`    Requires ${way} labels ${JSON.stringify(selector)}`, matches(selector, other, world.namespaceLabels) ? '+     Found all required labels' : `-     Labels [${other.join(' ')}] not found`)
  }
  for (const alternative of isLimited(peers) ? alternatives(peers, required, world) : []) {
    out.push(`    Allows ${way} labels ${JSON.stringify(alternative.selector)}`)
    if (!includes(alternative, peer)) { out.push(`      Labels [${other.join(' ')}] not found`); continue }
    out.push('      Found all required labels', isPorted(peers) ? '        Rule restricts traffic to specific L4 destinations; deferring policy decision to L4 policy stage' : '+       No L4 restrictions')
  }
}

function portStage({ out, request, world }: Trace, { direction, other, peer, namedPorts, required }: Side, peers: Peers): void {
  if (!isPorted(peers)) return
  const found = alternatives(peers, required, world)
  if (!found.some((it) => includes(it, peer))) { out.push(`    Labels [${other.join(' ')}] not found`); return }
  out.push('    Found all required labels')
  const whom = found.map(({ selector }) => JSON.stringify(selector)).join(' ')
  for (const entry of peers.toPorts ?? []) {
    const list = entry.ports.map(({ port, protocol = 'ANY' }) => `{${port} ${protocol}}`).join(' ')
    out.push(`    Allows ${direction === 'ingress' ? 'Ingress' : 'Egress'} port [${list}] ${direction === 'ingress' ? 'from' : 'to'} endpoints [${whom}]`)
    for (const rule of entry.rules?.http ?? []) out.push(`      Restricts to HTTP requests ${JSON.stringify(rule)}`)
    const opens = portsOf({ toPorts: [entry] }, peer, world, namedPorts)
    if (!request.dports.some((wanted) => isOpen(opens, peer, wanted))) out.push('      No port match found')
  }
}
