import { describe, expect, it } from 'vitest'
import { podLabels, type Labels } from '../identity/labels.ts'
import { reservedIdentities } from '../identity/reserved.ts'
import type { NetworkPolicy } from '../k8s/types.ts'
import { fromCiliumNetworkPolicy } from './ciliumpolicy.ts'
import { fromNetworkPolicy } from './networkpolicy.ts'
import { resolvePolicy, type World } from './resolve.ts'
import type { Rule } from './rule.ts'

const pod = (app: string, namespace = 'default'): Labels => podLabels({ namespace, labels: { app } })
const identities = new Map<number, Labels>([...reservedIdentities.map(({ id, labels }) => [id, labels] as const), [1000, pod('server')], [1001, pod('client')], [1002, pod('client', 'other')], [1003, pod('else')]])
const world = (rules: Rule[], more: Partial<World> = {}): World => ({
  rules, identities, mode: 'default', identityOfIP: (ip) => (ip === '10.244.0.7' ? 1003 : undefined),
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

  it('knows the world and known addresses, and tells what it does not', () => {
    const policy = knp({ podSelector, ingress: [{ from: [{ ipBlock: { cidr: '0.0.0.0/0' } }, { ipBlock: { cidr: '10.244.0.7/32' } }, { ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } }] }] })
    expect(show(resolve(policy).ingress)).toEqual(['2 0/ANY', '1003 0/ANY'])
    expect(policy.unsupported).toEqual(['ipBlock 10.0.0.0/8 except 10.1.0.0/16'])
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
