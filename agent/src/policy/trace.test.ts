import { describe, expect, it } from 'vitest'
import { podLabels, type Labels } from '../identity/labels.ts'
import { reservedIdentities } from '../identity/reserved.ts'
import { recorded } from '../testing/recorded.ts'
import type { Allow } from './allow.ts'
import { parsePolicy } from './document.ts'
import { resolvePolicy, type EnforcementMode, type World } from './resolve.ts'
import type { Rule } from './rule.ts'
import { tracePolicy, type TraceRequest } from './trace.ts'

const worldOf = (rules: Rule[], more: Partial<World> = {}): World =>
  ({ rules, identities: new Map(), cidrs: new Map(), absent: new Set(), namespaceLabels: () => undefined, serviceAddresses: () => [], nameAddresses: () => [], namedPorts: () => new Map(), mode: 'default', ...more })
const tcp = (...ports: number[]): TraceRequest['dports'] => ports.map((port) => ({ port, protocol: 'TCP' }))

describe('a trace', () => {
  const rules = () => parsePolicy(recorded('cli-policy_get.txt').replace(/Revision: .*/, ''))
  const ask = (from: string, dports = tcp(8080), verbose = false) => tracePolicy(worldOf(rules()), { from: [`mesos:id=${from}`], to: ['mesos:id=c2'], dports, verbose })
  const printed = ({ log: text, verdict }: ReturnType<typeof ask>) => `${'-'.repeat(64)}\n${text}\nFinal verdict: ${verdict}\n`

  it('reads as Cilium\'s', () => {
    expect(printed(ask('c1'))).toBe(recorded('cli-policy_trace_s_mesos_id_c1_d_mesos_id_c2_dport_8080_tcp.txt').replace(/\n*$/, '\n'))
    expect(printed(ask('c3', undefined, true))).toBe(recorded('cli-policy_trace_s_mesos_id_c3_d_mesos_id_c2_dport_8080_tcp_v.txt').replace(/\n*$/, '\n'))
  })

  it('denies another port, and every port at once', () => {
    expect(ask('c1', tcp(8081)).verdict).toBe('DENIED')
    expect(ask('c1', []).verdict).toBe('DENIED')
  })

  it('follows both directions', () => {
    const egress = parsePolicy(JSON.stringify([{ endpointSelector: { matchLabels: { 'k8s:a': '1' } }, egress: [{ toEndpoints: [{ matchLabels: { 'k8s:b': '1' } }] }] }]))
    const between = (from: string, to: string, mode: EnforcementMode = 'default') => tracePolicy(worldOf(egress, { mode }), { from: [from], to: [to], dports: [], verbose: false })
    expect(between('k8s:a=1', 'k8s:b=1').verdict).toBe('ALLOWED')
    expect(between('k8s:a=1', 'k8s:c=1')).toMatchObject({ verdict: 'DENIED', log: expect.stringContaining('Egress label verdict: undecided') as string })
    expect(between('k8s:x=1', 'k8s:y=1')).toMatchObject({ verdict: 'ALLOWED', log: expect.stringContaining('no rules in the policy repository match') as string })
    expect(between('k8s:x=1', 'k8s:y=1', 'always').verdict).toBe('DENIED')
    expect(between('reserved:host', 'reserved:world', 'always')).toMatchObject({ verdict: 'ALLOWED', log: expect.stringContaining('at endpoints, which neither end is') as string })
  })
})

describe('a trace\'s verdict is the datapath\'s', () => {
  const selects = (matchLabels: Record<string, string>) => ({ matchLabels })
  const endpointSelector = selects({ 'k8s:app': 'server' })
  const client = ['k8s:app=client', 'k8s:team=red']
  const answer = (ingress: object[][], from: Labels, dports: TraceRequest['dports'], more: Partial<World> = {}) =>
    tracePolicy(worldOf(parsePolicy(JSON.stringify(ingress.map((each) => ({ endpointSelector, ingress: each })))), more), { from, to: ['k8s:app=server'], dports, verbose: false })
  const fromClient = { fromEndpoints: [selects({ 'k8s:app': 'client' })] }
  const at = (port: string) => ({ ...fromClient, toPorts: [{ ports: [{ port, protocol: 'TCP' }] }] })

  it('where another rule requires something', () => {
    const required = (team: string) => [[fromClient], [{ fromRequires: [selects({ 'k8s:team': team })] }]]
    expect(answer(required('red'), client, [])).toMatchObject({ verdict: 'ALLOWED', log: expect.stringMatching(/^ {4}Requires from labels \{"matchLabels":\{"k8s:team":"red"\}\}\n\+ {5}Found all required labels$/m) as string })
    expect(answer(required('blue'), client, [])).toMatchObject({ verdict: 'DENIED', log: expect.stringMatching(/^- {5}Labels \[k8s:app=client k8s:team=red\] not found$/m) as string })
  })

  it('where ports are of several rules', () => {
    expect(answer([[at('80')], [at('8080')]], client, tcp(80, 8080)).verdict).toBe('ALLOWED')
    expect(answer([[at('80')], [at('8080')]], client, tcp(80, 8081)).verdict).toBe('DENIED')
  })

  it('where a port has a name, by what pods with the labels call it', () => {
    const more: Partial<World> = { identities: new Map([[300, ['k8s:app=server']]]), namedPorts: (identity) => new Map(identity === 300 ? [['http/TCP', [8080]]] : []) }
    expect([8080, 8081].map((port) => answer([[at('http')]], client, tcp(port), more).verdict)).toEqual(['ALLOWED', 'DENIED'])
    expect(answer([[at('http')]], client, tcp(8080)).verdict).toBe('DENIED')
  })

  it('where the host asks, whom nothing keeps out', () => {
    const more = { identities: new Map([[1, ['reserved:host']]]) }
    expect(answer([[fromClient]], ['reserved:host'], tcp(80), more)).toEqual({ verdict: 'ALLOWED', log: 'Tracing From: [reserved:host] => To: [k8s:app=server] Ports: [80/TCP]\n  The host is always allowed in.\nLabel verdict: allowed\n' })
  })

  it('where prefixes are named', () => {
    const rule = [[{ fromCIDRSet: [{ cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] }] }]]
    const more = { cidrs: new Map([[70_000, '10.0.0.0/8'], [70_001, '10.1.0.0/16']]) }
    expect(['10.0.0.0/8', '10.1.0.0/16', '11.0.0.0/8', '10.2.0.0/16'].map((prefix) => answer(rule, [`cidr:${prefix}`, 'reserved:world'], [], more).verdict)).toEqual(['ALLOWED', 'DENIED', 'DENIED', 'ALLOWED'])
  })

  it('whatever the rules are', () => {
    const random = generator(20_261_122)
    const verdicts = { ALLOWED: 0, DENIED: 0 }
    const one = <T>(list: readonly T[]): T => list[random(list.length)]!
    for (let round = 0; round < 3000; round++) {
      const world = anyWorld(random)
      const outside = [...world.cidrs.values()].map((prefix) => [`cidr:${prefix}`, 'reserved:world'])
      const [from, to] = [one([...world.identities.values(), ...outside]), one([...world.identities.values(), ...outside])]
      const dports = one([[], tcp(80), tcp(80, 8080), [{ port: 80, protocol: 'ANY' as const }], [{ port: 80, protocol: 'UDP' as const }]])
      const { verdict, log } = tracePolicy(world, { from, to, dports, verbose: false })
      const wanted = inDatapath(world, from, to, dports) ? 'ALLOWED' : 'DENIED'
      if (verdict !== wanted) expect.fail(`${wanted} by the datapath, with ${JSON.stringify(world.rules, null, 1)}:\n${log}`)
      verdicts[verdict]++
    }
    // Neither is a matter of course.
    expect(Math.min(verdicts.ALLOWED, verdicts.DENIED)).toBeGreaterThan(500)
  })
})

/** Numbers from 0 up to `below`, the same ones every time (mulberry32). */
function generator(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

function anyWorld(random: (below: number) => number): World {
  const one = <T>(list: readonly T[]): T => list[random(list.length)]!
  const some = <T>(make: () => T, most = 3): T[] => Array.from({ length: random(most) }, make)
  const [apps, teams] = [['client', 'server', 'other'], ['red', 'blue']]
  const selector = () => one([() => ({}), () => ({ matchLabels: { 'k8s:app': one(apps) } }), () => ({ matchLabels: { 'k8s:team': one(teams) } }), () => ({ matchExpressions: [{ key: 'k8s:app', operator: 'NotIn' as const, values: [one(apps)] }] })])()
  const toPorts = () => (random(2) === 0 ? {} : { toPorts: some(() => {
    const limited = random(4) === 0
    return { ports: [...some(() => ({ port: one(['80', '8080', 'http']), protocol: limited ? 'TCP' as const : one(['TCP', 'UDP', 'ANY'] as const) })), { port: one(['80', '81']), protocol: 'TCP' as const }], ...(limited ? { rules: { http: [{ method: 'GET' }] } } : {}) }
  }) })
  const cidrSet = () => [{ cidr: one(['10.0.0.0/8', '0.0.0.0/0', 'fd00::/8']), ...(random(2) === 0 ? {} : { except: ['10.1.0.0/16'] }) }]
  const entities = () => [one(['all', 'host', 'world', 'cluster', 'init'])]
  const ingress = () => ({ ...one([() => ({ fromEndpoints: some(selector) }), () => ({ fromEndpoints: [selector()] }), () => ({ fromRequires: [selector()] }), () => ({ fromEntities: entities() }), () => ({ fromCIDRSet: cidrSet() }), () => ({})])(), ...toPorts() })
  const egress = () => ({ ...one([() => ({ toEndpoints: [selector()] }), () => ({ toRequires: [selector()] }), () => ({ toEntities: entities() }), () => ({ toCIDRSet: cidrSet() }), () => ({})])(), ...toPorts() })
  const rules = some((): Rule => ({ endpointSelector: selector(), ...(random(3) === 0 ? {} : { ingress: some(ingress, 4) }), ...(random(3) > 0 ? {} : { egress: some(egress, 4) }), labels: [] }), 5)
  const pods = apps.flatMap((app) => teams.map((team) => podLabels({ namespace: 'default', labels: { app, team } })))
  return worldOf(rules, {
    identities: new Map([...reservedIdentities.map(({ id, labels }) => [id, labels] as const), ...pods.map((labels, i) => [300 + i, labels] as const)]),
    cidrs: new Map([[70_000, '10.0.0.0/8'], [70_001, '10.1.0.0/16'], [70_002, 'fd00::/8']]), mode: one(['default', 'default', 'always', 'never'] as const),
    namedPorts: (identity) => new Map(identity % 2 === 0 ? [['http/TCP', [80]]] : [['http/TCP', [8080]], ['http/UDP', [80]]]),
  })
}

/** What agent/bpf does with the policies of both ends: the host and the world have none, and the host is let in. */
function inDatapath(world: World, from: Labels, to: Labels, dports: TraceRequest['dports']): boolean {
  const outside: [number, Labels][] = [...world.cidrs].map(([id, prefix]) => [id, [`cidr:${prefix}`, 'reserved:world']])
  const idOf = (labels: Labels) => [...world.identities, ...outside].find(([, it]) => it.join() === labels.join())![0]
  const policyOf = (labels: Labels) => {
    const id = idOf(labels)
    return id <= 2 || id >= 70_000 ? {} : resolvePolicy({ labels, namedPorts: new Map([...world.namedPorts(id)].map(([name, [port]]) => [name, port!])) }, world)
  }
  const found = (list: Allow[] | undefined, peer: number, port: number, protocol: string) =>
    list === undefined || [[port, protocol], [0, protocol], [0, 'ANY']].some(([at, of]) => list.some((it) => (it.identity === peer || it.identity === 0) && it.port === at && it.protocol === of))
  const passes = (list: Allow[] | undefined, peer: number) => (dports.length === 0 ? found(list, peer, 0, 'ANY')
    : dports.every(({ port, protocol }) => (protocol === 'ANY' ? ['TCP', 'UDP'] : [protocol]).some((it) => found(list, peer, port, it))))
  return (idOf(from) === 1 || passes(policyOf(to).ingress, idOf(from))) && passes(policyOf(from).egress, idOf(to))
}
