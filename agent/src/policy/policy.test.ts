import { describe, expect, it } from 'vitest'
import { podLabels, type Labels } from '../identity/labels.ts'
import { reservedIdentities } from '../identity/reserved.ts'
import type { NetworkPolicy } from '../k8s/types.ts'
import { openTo } from './allow.ts'
import { fromCiliumNetworkPolicy } from './ciliumpolicy.ts'
import { fromNetworkPolicy } from './networkpolicy.ts'
import { prefixesOf, resolvePolicy, type World } from './resolve.ts'
import type { Rule } from './rule.ts'

const pod = (app: string, namespace = 'default'): Labels => podLabels({ namespace, labels: { app } })
const identities = new Map<number, Labels>([...reservedIdentities.map(({ id, labels }) => [id, labels] as const), [1000, pod('server')], [1001, pod('client')], [1002, pod('client', 'other')], [1003, pod('else')]])
const world = (rules: Rule[], more: Partial<World> = {}): World => ({
  rules, identities, cidrs: new Map(), absent: new Set(), mode: 'default', serviceAddresses: () => [], nameAddresses: () => [], namedPorts: (id) => new Map(id === 1001 ? [['http/TCP', [8081, 8082]]] : []),
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
    expect(show(resolve(world0, { cidrs: new Map([...cidrs, [70_005, '::/0']]) }).ingress)).toEqual(['2 0/ANY', '70004 0/ANY'])
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

  it('leaves out what is around an exception that the datapath has not', () => {
    const block = (cidr: string, ...except: string[]) => knp({ podSelector, ingress: [{ from: [{ ipBlock: { cidr, except } }] }] })
    const cidrs = new Map([[70_000, '10.0.0.0/8'], [70_001, '10.1.0.0/16'], [70_002, '10.1.2.0/24'], [70_003, '10.1.2.3/32'], [70_004, 'fd00::/8'], [70_005, 'fd00:1::/32'], [70_006, '::/0']])
    const allowed = (policy: ReturnType<typeof block>, ...absent: string[]) => show(resolve(policy, { cidrs, absent: new Set(absent) }).ingress)
    const nested = block('10.0.0.0/8', '10.1.2.0/24')
    expect(allowed(nested)).toEqual(['70000 0/ANY', '70001 0/ANY'])
    expect(allowed(nested, '10.1.2.0/24')).toEqual(['70000 0/ANY'])
    expect(allowed(nested, '10.1.2.0/24', '10.1.0.0/16')).toEqual(['70001 0/ANY'])
    expect(allowed(block('fd00::/8', 'fd00:1::/32'), 'fd00:1::/32')).toEqual([])
    // The rest of the world, of IPv6 too, has the world's own identity.
    expect(allowed(block('0.0.0.0/0', '10.0.0.0/8'), '10.0.0.0/8')).not.toContain('2 0/ANY')
    expect(allowed(block('0.0.0.0/0'), '::/0')).toEqual(['70000 0/ANY', '70001 0/ANY', '70002 0/ANY', '70003 0/ANY'])
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
    [{ ingress: [{ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ path: '/[a' }] } }] }] }, 'invalid HTTP path "/[a": error parsing regexp: missing closing ]: `[a`'],
    [{ ingress: [{ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ headers: ['a b', 'c(d'] }] } }] }] }, 'invalid HTTP header "c(d", must be "Name" or "Name value"'],
    [{ egress: [{ toPorts: [{ ports: [{ port: '80' }], rules: { http: [{}] } }] }] }, 'L7 rules can only apply exclusively to TCP, not ANY'],
    [{ egress: [{ toPorts: [{ rules: { http: [{}] } }] }] }, 'L7 rules need ports to apply to'],
    [{ ingress: [{ fromEndpoints: [{}], fromEntities: ['world'] }] }, 'Combining FromEndpoints and FromEntities is not supported yet'],
  ])('is refused with the reason: %j', (spec, reason) => expect(() => cnp({ endpointSelector, ...spec })).toThrow(reason))

  it('denies by an empty rule', () => expect(resolve(cnp({ endpointSelector, ingress: [{}] }))).toEqual({ ingress: [] }))

  it('allows nothing by a rule it does not understand', () => {
    const policy = cnp({ endpointSelector, ingress: [{ fromEndpoints: [{}], toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { kafka: [{}] } }] }] })
    expect(resolve(policy)).toEqual({ ingress: [] })
    expect(policy.unsupported).toEqual(['ingress: toPorts.rules.kafka is not supported'])
  })

  it('says what is wrong with a malformed one', () => expect(() => cnp({ endpointSelector: { matchLabels: { app: 1 } } })).toThrow(/endpointSelector\.matchLabels\.app: /))
})

describe('rules for requests', () => {
  const endpointSelector = { matchLabels: { app: 'server' } }
  const [get, put] = [{ method: 'GET' }, { method: 'PUT' }]
  const client = { matchLabels: { app: 'client' } }
  const at = (http: object[] | undefined, peers: object = { fromEndpoints: [client] }, port = '80') => ({ ...peers, toPorts: [{ ports: [{ port, protocol: 'TCP' }], ...(http === undefined ? {} : { rules: { http } }) }] })
  const ingress = (...rules: object[]) => resolve(cnp({ endpointSelector, ingress: rules })).ingress?.map(({ identity, port, http }) => [identity, port, ...(http ?? ['all'])])

  it.each([
    ['are of a port and its peers', [at([get])], [[1001, 80, get]]],
    ['of several are alternatives', [at([get]), at([put, get])], [[1001, 80, get, put]]],
    ['count for nothing beside one without', [at([get]), at(undefined)], [[1001, 80, 'all']]],
    ['of everyone are those of each', [at([get]), at([put], {})], [[0, 80, put], [1001, 80, get, put]]],
    ['of one count for nothing where all may all', [at([get]), at(undefined, {})], [[0, 80, 'all']]],
    ['that all have are said once', [at([get]), at([get, put], {})], [[0, 80, get, put]]],
    ['leave alone who may use the port anyhow', [at([get], {}), at(undefined)], [[0, 80, get], [1001, 80, 'all']]],
    ['leave alone who may use every port', [at([get], {}), { fromEndpoints: [client] }], [[0, 80, get], [1001, 0, 'all'], [1001, 80, 'all']]],
    ['of one count for nothing where it may use every port', [at([get]), { fromEndpoints: [client] }], [[1001, 0, 'all'], [1001, 80, 'all']]],
    ['of a list without any are none', [at([])], [[1001, 80, 'all']]],
    ['follow the name of a port', [at([get], {}, 'http')], [[0, 8080, get]]],
  ])('%s', (_, rules, wanted) => {
    const found = ingress(...rules)
    // The client's own namespace only, and a named port of anybody: other identities come to the same.
    expect(found?.filter(([identity, port]) => (identity === 0 || identity === 1001) && !(wanted[0]?.[1] === 8080 && (identity !== 0 || port !== 8080)))).toEqual(wanted)
  })

  it('are printed as they came', () => {
    const { rules } = cnp({ endpointSelector, egress: [{ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ method: 'GET', path: '/a.*', host: 'h', headers: ['X-A b'] }] } }] }] })
    expect(rules[0]?.egress?.[0]?.toPorts).toEqual([{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ method: 'GET', path: '/a.*', host: 'h', headers: ['X-A b'] }] } }])
  })

  it('are found as the datapath finds them: by identity and port, then port, then identity', () => {
    const list = resolve(cnp({ endpointSelector, ingress: [at([get], {}), at([put])] })).ingress
    expect([openTo(list, 1001, 80), openTo(list, 1003, 80), openTo(list, 1001, 81), openTo(undefined, 1, 1)]).toEqual([{ http: [put, get] }, { http: [get] }, undefined, {}])
    expect(openTo(resolve(cnp({ endpointSelector, ingress: [{ fromEndpoints: [client] }] })).ingress, 1001, 80)).toEqual({})
  })
})

describe('egress to names', () => {
  const endpointSelector = { matchLabels: { app: 'server' } }
  const policy = cnp({ endpointSelector, egress: [{ toFQDNs: [{ matchName: 'DB.example.' }], toPorts: [{ ports: [{ port: '5432', protocol: 'TCP' }] }] }] })
  const more = { cidrs: new Map([[70_000, '10.9.1.1/32'], [70_001, '10.9.1.2/32']]), nameAddresses: (name: string) => (name === 'db.example' ? ['10.9.1.1'] : []) }

  it('is to the addresses that they have, which get an identity', () => {
    expect(show(resolve(policy, more).egress)).toEqual(['70000 5432/TCP'])
    expect([...prefixesOf([pod('server')], world(policy.rules, more))]).toEqual(['10.9.1.1/32'])
  })

  it('is to nobody while they have none', () => expect(resolve(policy).egress).toEqual([]))

  it('is printed as it was understood', () => expect(policy.rules[0]?.egress?.[0]?.toFQDNs).toEqual([{ matchName: 'db.example' }]))

  it('says what a name can\'t be', () => {
    expect(() => cnp({ endpointSelector, egress: [{ toFQDNs: [{ matchName: '*.example' }] }] })).toThrow('Invalid characters in MatchName: "*.example". Only 0-9, a-z, A-Z and . and - characters are allowed')
    expect(() => cnp({ endpointSelector, egress: [{ toFQDNs: [{ matchName: 'a' }], toCIDR: ['10.0.0.0/8'] }] })).toThrow(/^Combining (ToFQDNs and ToCIDR|ToCIDR and ToFQDNs) is not supported yet$/)
  })
})

describe('enforcement', () => {
  it('never enforces when switched off, always when on', () => {
    expect(resolve(knp({ podSelector }), { mode: 'never' })).toEqual({})
    expect(resolve({ rules: [] }, { mode: 'always' })).toEqual({ ingress: [], egress: [] })
  })
})
