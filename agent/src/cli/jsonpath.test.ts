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
  [data, '{[0,1].id}', '7 9'],
  [data, '{[ 1 , -2 ].id}', '9 7'],
  [data, '{[0,0:1,7].id}', '7 7'],
  [data, "{[0]['id','status'].state}", 'ready'],
  [data, "{[*].status['state',\"policy\"]}", 'ready {"policy-enabled":"none"} creating {"policy-enabled":"both"}'],
  [{ 'a,b': 1, c: 2 }, "{['a,b','c']}", '1 2'],
  [{ list: [0, 1, 2, 3, 4] }, '{.list[0:5:2]}', '0 2 4'],
  [{ list: [0, 1, 2, 3, 4] }, '{.list[1::2]} {.list[-3:-1]} {.list[::3]}', '1 3 2 3 0 3'],
  [object, '{[0,1]}', ''],
])('%#: finds %s', (value, template, text) => expect(jsonpath(template, value)).toBe(text))

it.each([['{.a', 'unclosed action'], ['{[0,x]}', 'unrecognized character in action: [0,x]'], ['{[0:2:0]}', 'step must be > 0: [0:2:0]'], ['{[,]}', 'unrecognized character in action: [,]']])('says that it cannot read %s', (template, why) =>
  expect(() => jsonpath(template, [1, 2])).toThrow(why))
