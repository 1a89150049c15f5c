import { describe, expect, it } from 'vitest'
import type { CiliumNetworkPolicy } from '../k8s/types.ts'
import { createLogger } from '../log.ts'
import { parsePolicy } from './document.ts'
import { PolicyRepository, type RuleStore } from './repository.ts'
import type { Rule } from './rule.ts'
import { InvalidRule } from './sanitize.ts'
import { recorded } from '../testing/recorded.ts'

const log = createLogger({ debug: false, write: () => undefined })
const cnp = (generation: number, spec: unknown, resourceVersion = String(generation)): CiliumNetworkPolicy => ({ metadata: { name: 'p', namespace: 'default', uid: 'u', generation, resourceVersion }, spec })
const good = { endpointSelector: {}, ingress: [{ fromEntities: ['host'] }] }
const bad = { endpointSelector: {}, ingress: [{ toPorts: [{ ports: [{ port: '99999' }] }] }] }

describe('the repository', () => {
  it('keeps the earlier version of a policy that can\'t be understood, and says so', () => {
    const policies = new PolicyRepository(log)
    expect(policies.update([], [cnp(1, good)])).toHaveLength(1)
    const { rules } = policies
    policies.update([], [cnp(2, bad)])
    expect(policies.rules).toEqual(rules)
    expect(policies.stateOf(cnp(2, bad))).toMatchObject({ revision: 3, enforcing: true, error: expect.stringContaining('99999') as string })
    policies.update([], [cnp(3, good)])
    expect(policies.stateOf(cnp(3, good))).toMatchObject({ revision: 4, enforcing: true })
  })

  it('takes the writing of a status for no new version', () => {
    const policies = new PolicyRepository(log)
    policies.update([], [cnp(1, good, '100')])
    expect(policies.update([], [cnp(1, good, '101')])).toEqual([])
  })

  it('keeps imported rules over a restart, and deletes them by their labels', () => {
    let kept: Rule[] = []
    const store: RuleStore = { load: () => kept, save: (rules) => { kept = rules } }
    const policies = new PolicyRepository(log, store)
    expect(policies.add(parsePolicy('[{"endpointSelector": {"matchLabels": {"k8s:app": "a"}}, "labels": ["name=one", "team=x"]}]'))).toBe(2)
    policies.add(parsePolicy('endpointSelector: {matchLabels: {app: b}}\nlabels: [{key: name, value: two}]\n'))
    expect(policies.update([], []).map(({ subtype, message }) => [subtype, message.revision, message.rule_count])).toEqual([['Policy updated', 2, 1], ['Policy updated', 3, 1]])
    const after = new PolicyRepository(log, store)
    expect(after.rules).toEqual(policies.rules)
    expect(after.remove([{ source: '', key: 'name', value: 'three' }])).toBe(0)
    expect(after.remove([{ source: '', key: 'name', value: 'one' }, { source: '', key: 'team', value: 'x' }])).toBe(1)
    expect(after.rules.map(({ endpointSelector }) => endpointSelector)).toEqual([{ matchLabels: { 'any:app': 'b' } }])
    expect(after.remove([])).toBe(1)
    expect(kept).toEqual([])
  })
})

describe('a policy file', () => {
  it('may hold CiliumNetworkPolicies, several in one', () => {
    const text = ['a', 'b'].map((name) => `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: ${name}, namespace: n}\nspec: {endpointSelector: {}, ingress: [{}]}\n`).join('---\n')
    expect(parsePolicy(text).map(({ labels, endpointSelector }) => [labels[0]?.value, endpointSelector])).toEqual(['a', 'b'].map((name) => [name, { matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'n' } }]))
  })

  it.each([
    ['', 'empty policy'], ['{"endpointSelector": ', 'malformed policy'], ['a: [', 'malformed policy'], ['{}', 'rule cannot have nil EndpointSelector'],
    ['{"endpointSelector": {}, "ingres": []}', 'rule: ingres is not supported'], [JSON.stringify([good, bad]), recorded('policy-bad.txt').replace('Error: ', '').trim()],
  ])('is refused with the reason: %j', (text, reason) => {
    expect(() => parsePolicy(text)).toThrow(InvalidRule)
    expect(() => parsePolicy(text)).toThrow(reason)
  })
})
