import { describe, expect, it } from 'vitest'
import { podLabels, type Labels } from '../identity/labels.ts'
import { reservedIdentities } from '../identity/reserved.ts'
import type { NetworkPolicy } from '../k8s/types.ts'
import { fromCiliumNetworkPolicy } from './ciliumpolicy.ts'
import { fromNetworkPolicy } from './networkpolicy.ts'
import { prefixesOf, resolvePolicy, type World } from './resolve.ts'
import type { Rule } from './rule.ts'

const pod = (app: string, namespace = 'default'): Labels => podLabels({ namespace, labels: { app } })
const identities = new Map<number, Labels>([...reservedIdentities.map(({ id, labels }) => [id, labels] as const), [1000, pod('server')], [1001, pod('client')], [1002, pod('client', 'other')], [1003, pod('else')]])
const world = (rules: Rule[], more: Partial<World> = {}): World => ({
  rules, identities, cidrs: new Map(), mode: 'default', serviceAddresses: () => [], namedPorts: (id) => new Map(id === 1001 ? [['http/TCP', [8081, 8082]]] : []),
  namespaceLabels: (name) => ({ default: { team: 'red' }, other: { team: 'blue' } })[name], ...more,
})
const server = { labels: pod('server'), namedPorts: new Map([['http/TCP', 8080]]) }
const knp = (spec: NetworkPolicy['spec']) => fromNetworkPolicy({ metadata: { name: 'p', namespace: 'default' }, spec })
const cnp = (spec: unknown) => fromCiliumNetworkPolicy({ metadata: { name: 'p', namespace: 'default' }, spec })
const resolve = ({ rules }: { rules: Rule[] }, more: Partial<World> = {}) => resolvePolicy(server, world(rules, more))
const show = (allows: { identity: number; port: number; protocol: string }[] | undefined) => allows?.map(({ identity, port, protocol }) => `${identity} ${port}/${protocol}`)
const podSelector = { matchLabels: { app: 'server' } }

describe('a NetworkPolicy', () => {
  it('without rules denies what it selects, and only that', () => {
    expect(resolve(knp({ podSelector: {} }))).toEqual({ ingress: [] })
    expect(resolve(knp({ podSelector: { matchLabels: { app: 'x' } } }))).toEqual({})
  })

  it('allows everyone by an empty rule', () => expect(show(resolve(knp({ podSelector, ingress: [{}] })).ingress)).toEqual(['0 0/ANY']))

  it('finds pods in its own namespace', () => {
    expect(show(resolve(knp({ podSelector, ingress: [{ from: [{ podSelector: { matchLabels: { app: 'client' } } }], ports: [{ port: 80 }] }] })).ingress)).toEqual(['1001 80/TCP'])
  })

  it('finds pods by the labels of their namespace', () => {
    const from = [{ namespaceSelector: { matchLabels: { team: 'blue' } }, podSelector: { matchExpressions: [{ key: 'app', operator: 'In', values: ['client', 'server'] }] } }]
    expect(show(resolve(knp({ podSelector, ingress: [{ from }] })).ingress)).toEqual(['1002 0/ANY'])
    expect(show(resolve(knp({ podSelector, ingress: [{ from: [{ namespaceSelector: {} }] }] })).ingress)).toEqual(['1000 0/ANY', '1001 0/ANY', '1002 0/ANY', '1003 0/ANY'])
  })

  it('limits everyone to ports, named ones too', () => {
    expect(show(resolve(knp({ podSelector, ingress: [{ ports: [{ port: 'http' }, { port: 53, protocol: 'UDP' }, { port: 'nope' }] }] })).ingress)).toEqual(['0 53/UDP', '0 8080/TCP'])
  })

  it('tells prefixes by the identities they are given, exceptions left out', () => {
    const policy = knp({ podSelector, ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } }] }] })
    const prefixes = prefixesOf([pod('server')], { ...world(policy.rules) })
    expect([...prefixes]).toEqual(['10.0.0.0/8', '10.1.0.0/16'])
    expect([...prefixesOf([pod('else')], world(policy.rules))]).toEqual([])
    const cidrs = new Map([[70_000, '10.0.0.0/8'], [70_001, '10.1.0.0/16'], [70_002, '10.1.2.0/24'], [70_003, '10.2.0.0/16'], [70_004, '11.0.0.0/8']])
    expect(show(resolve(policy, { cidrs }).ingress)).toEqual(['70000 0/ANY', '70003 0/ANY'])
    const world0 = knp({ podSelector, ingress: [{ from: [{ ipBlock: { cidr: '0.0.0.0/0', except: ['10.0.0.0/8'] } }] }] })
    expect(show(resolve(world0, { cidrs }).ingress)).toEqual(['2 0/ANY', '70004 0/ANY'])
  })

  it('tells prefixes of IPv6 as it does those of IPv4, and all of either from all of the other', () => {
    const cidrs = new Map([[70_000, 'fd00::/8'], [70_001, 'fd00:1::/32'], [70_002, '10.0.0.0/8'], [70_003, '::/0']])
    const six = (cidr: string, except?: string[]) => knp({ podSelector, ingress: [{ from: [{ ipBlock: { cidr, ...(except === undefined ? {} : { except }) } }] }] })
    const policy = six('fd00::/8', ['fd00:1:0::9/32'])
    expect([...prefixesOf([pod('server')], world(policy.rules))]).toEqual(['fd00::/8', 'fd00:1::/32'])
    expect(show(resolve(policy, { cidrs }).ingress)).toEqual(['70000 0/ANY'])
    expect([...prefixesOf([pod('server')], world(six('0.0.0.0/0').rules))]).toEqual(['::/0'])
    expect(show(resolve(six('0.0.0.0/0'), { cidrs }).ingress)).toEqual(['2 0/ANY', '70002 0/ANY'])
    expect(show(resolve(six('::/0'), { cidrs }).ingress)).toEqual(['70000 0/ANY', '70001 0/ANY', '70003 0/ANY'])
  })

  it('tells what it can not', () => {
    const policy = knp({ podSelector, ingress: [{ from: [{ podSelector: {} }], ports: [{ port: 80, endPort: 90 }] }] })
    expect(resolve(policy)).toEqual({ ingress: [] })
    expect(policy.unsupported).toEqual(['port range 80-90'])
  })

  it('finds the number of a peer\'s named port at the peer', () => {
    const policy = knp({ podSelector, policyTypes: ['Egress'], egress: [{ to: [{ podSelector: { matchLabels: { app: 'client' } } }], ports: [{ port: 'http' }] }] })
    expect(show(resolve(policy).egress)).toEqual(['1001 8081/TCP', '1001 8082/TCP'])
  })

  it('enforces egress when it has it', () => {
    expect(resolve(knp({ podSelector, egress: [{ to: [{ podSelector: { matchLabels: { app: 'else' } } }] }] }))).toEqual({ ingress: [], egress: [{ identity: 1003, port: 0, protocol: 'ANY' }] })
    expect(resolve(knp({ podSelector, policyTypes: ['Egress'], egress: [] }))).toEqual({ egress: [] })
  })
})

describe('a CiliumNetworkPolicy', () => {
  const endpointSelector = podSelector
  it('finds peers in its own namespace unless told otherwise', () => {
    const from = (matchLabels: Record<string, string>) => show(resolve(cnp({ endpointSelector, ingress: [{ fromEndpoints: [{ matchLabels }] }] })).ingress)
    expect(from({ app: 'client' })).toEqual(['1001 0/ANY'])
    expect(from({ 'k8s:app': 'client', 'k8s:io.kubernetes.pod.namespace': 'other' })).toEqual(['1002 0/ANY'])
    expect(from({ 'reserved:host': '' })).toEqual(['1 0/ANY'])
  })

  it('takes a port without protocol as both', () => {
    expect(show(resolve(cnp({ endpointSelector, ingress: [{ toPorts: [{ ports: [{ port: '80' }] }] }] })).ingress)).toEqual(['0 80/TCP', '0 80/UDP'])
  })

  it('knows entities', () => {
    const from = (fromEntities: string[]) => show(resolve(cnp({ endpointSelector, ingress: [{ fromEntities }] })).ingress)
    expect(from(['world'])).toEqual(['2 0/ANY'])
    expect(from(['all'])).toEqual(['0 0/ANY'])
    expect(from(['cluster'])).toEqual(['1 0/ANY', '3 0/ANY', '4 0/ANY', '5 0/ANY', '1000 0/ANY', '1001 0/ANY', '1002 0/ANY', '1003 0/ANY'])
  })

  it('counts prefixes to the world, and takes hold of them by their labels', () => {
    const cidrs = new Map([[70_000, '10.0.0.0/8']])
    const from = (rule: object) => show(resolve(cnp({ endpointSelector, ingress: [rule] }), { cidrs }).ingress)
    expect(from({ fromEntities: ['world'] })).toEqual(['2 0/ANY', '70000 0/ANY'])
    expect(from({ fromEndpoints: [{ matchLabels: { 'reserved:world': '' } }] })).toEqual(['2 0/ANY', '70000 0/ANY'])
    expect(from({ fromCIDR: ['10.1.2.3/8'] })).toEqual(['70000 0/ANY'])
  })

  it('knows services that lead out of the cluster', () => {
    const policy = cnp({ endpointSelector, egress: [{ toServices: [{ k8sService: { serviceName: 'db' } }], toPorts: [{ ports: [{ port: 5432, protocol: 'tcp' }] }] }] })
    const more = { cidrs: new Map([[70_000, '10.9.1.1/32']]), serviceAddresses: (it: object) => (JSON.stringify(it) === '{"k8sService":{"serviceName":"db","namespace":"default"}}' ? ['10.9.1.1'] : []) }
    expect([...prefixesOf([pod('server')], { ...world(policy.rules), ...more })]).toEqual(['10.9.1.1/32'])
    expect(show(resolve(policy, more).egress)).toEqual(['70000 5432/TCP'])
  })

  it('limits whom other rules let in by what is required', () => {
    const rules = [...cnp({ endpointSelector, ingress: [{ fromEndpoints: [{ matchExpressions: [{ key: 'app', operator: 'Exists' }] }] }] }).rules, ...cnp({ endpointSelector, ingress: [{ fromRequires: [{ matchLabels: { app: 'client' } }] }] }).rules]
    expect(show(resolve({ rules }).ingress)).toEqual(['1001 0/ANY'])
  })

  it('tells ICMP by its type', () => expect(show(resolve(cnp({ endpointSelector, ingress: [{ fromEntities: ['all'], icmps: [{ fields: [{ type: 8 }] }] }] })).ingress)).toEqual(['0 8/ICMP']))

  it.each([
    [{ ingress: [{ toPorts: [{ ports: [{ port: '99999' }] }] }] }, 'Unable to parse port: strconv.ParseUint: parsing "99999": value out of range'],
    [{ ingress: [{ toPorts: [{ ports: [{ port: '0' }] }] }] }, 'Port cannot be 0'],
    [{ ingress: [{ toPorts: [{ ports: [{ port: '80', protocol: 'SCTP' }] }] }] }, 'invalid protocol "SCTP", must be { tcp | udp | any }'],
    [{ ingress: [{ fromCIDR: ['10.0.0.0/33'] }] }, 'Unable to parse CIDR "10.0.0.0/33": not a prefix such as 10.9.0.0/16 or fd00:9::/32'],
    [{ egress: [{ toCIDRSet: [{ cidr: '10.0.0.0/8', except: ['11.0.0.0/16'] }] }] }, 'allow CIDR prefix 10.0.0.0/8 does not contain exclude CIDR prefix 11.0.0.0/16'],
    [{ egress: [{ toEntities: ['moon'] }] }, 'unsupported entity: moon'],
    [{ ingress: [{ fromEndpoints: [{}], fromEntities: ['world'] }] }, 'Combining FromEndpoints and FromEntities is not supported yet'],
  ])('is refused with the reason: %j', (spec, reason) => expect(() => cnp({ endpointSelector, ...spec })).toThrow(reason))

  it('denies by an empty rule', () => expect(resolve(cnp({ endpointSelector, ingress: [{}] }))).toEqual({ ingress: [] }))

  it('allows nothing by a rule it does not understand', () => {
    const policy = cnp({ endpointSelector, ingress: [{ fromEndpoints: [{}], toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{}] } }] }] })
    expect(resolve(policy)).toEqual({ ingress: [] })
    expect(policy.unsupported).toEqual(['ingress: toPorts.rules is not supported'])
  })

  it('says what is wrong with a malformed one', () => expect(() => cnp({ endpointSelector: { matchLabels: { app: 1 } } })).toThrow(/endpointSelector\.matchLabels\.app: /))
})

describe('enforcement', () => {
  it('never enforces when switched off, always when on', () => {
    expect(resolve(knp({ podSelector }), { mode: 'never' })).toEqual({})
    expect(resolve({ rules: [] }, { mode: 'always' })).toEqual({ ingress: [], egress: [] })
  })
})
