import { expect, it } from 'vitest'
import { jsonpath } from './jsonpath.ts'

const data = [
  { id: 7, status: { identity: { id: 300, labels: ['k8s:app=a', 'k8s:ns=x'] }, policy: { 'policy-enabled': 'none' }, state: 'ready' } },
  { id: 9, status: { identity: { id: 301, labels: ['k8s:app=b'] }, policy: { 'policy-enabled': 'both' }, state: 'creating' } },
]
const object = { cilium: { state: 'Ok' }, controllers: [{ name: 'x', status: { 'failure-count': 2 } }] }

it.each([
  [data, '{[*].id}', '7 9'],
  [data, '{[0].status.identity.labels[-1]}', 'k8s:ns=x'],
  [data, '{range [*]}{.id}{"="}{.status.state}{"\\n"}{end}', '7=ready\n9=creating\n'],
  [data, "{range [*]}{@.id}{'\\t'}{@.status.policy.policy-enabled}{\"\\n\"}{end}", '7\tnone\n9\tboth\n'],
  [data, '{[?(@.status.state=="ready")].id}', '7'],
  [data, "{[?(@.status.policy['policy-enabled']!='none')].id}", '9'],
  [data, '{..state}', 'ready creating'],
  [data, '{[*].nothing}', ''],
  [object, '{.cilium.state}', 'Ok'],
  [object, 'state={.cilium.state}, {.controllers[0].status}', 'state=Ok, {"failure-count":2}'],
  [object, '{$.controllers[0:1].name}', 'x'],
])('%#: finds %s', (value, template, text) => expect(jsonpath(template, value)).toBe(text))

it('says what it cannot read', () => expect(() => jsonpath('{.a', {})).toThrow('unclosed action'))
