import { describe, expect, test } from 'vitest'
import { parseMonitorLine, type EventWindow } from '../monitor/index.ts'
import { containsRequest } from './requests.ts'

const [tie, star] = [{ name: 'tiefighter', ip: '10.244.0.5', identity: 300, endpoint: 5 }, { name: 'deathstar', ip: '10.244.0.6', identity: 400, endpoint: 6 }]
const text = '<- Request http from 5 ([k8s:class=tiefighter]) to 6 ([k8s:class=deathstar]), identity 300->400, verdict Denied PUT http://deathstar/v1/exhaust-port?x=1 => 403'
const json = JSON.stringify({
  type: 'logRecord', observationPoint: 'Ingress', flowType: 'Request', l7Proto: 'http', srcEpID: 5, srcEpLabels: ['k8s:class=tiefighter'], srcIdentity: 300, dstEpID: 6, dstEpLabels: [], dstIdentity: 400, verdict: 'Denied',
  http: { Code: 403, Method: 'PUT', URL: { Scheme: 'http', Opaque: '', User: null, Host: 'deathstar', Path: '/v1/exhaust-port', RawPath: '', ForceQuery: false, RawQuery: 'x=1', Fragment: '' }, Protocol: 'HTTP/1.1', Header: {} },
})
const window = (gaps: string[], ...lines: string[]): EventWindow => ({ events: lines.map((line) => ({ ...parseMonitorLine(line), node: 'node1' })), gaps, nodes: ['node1'], result: undefined })
const denied = { from: tie, to: star, verdict: 'Denied', method: 'PUT', path: '/v1/exhaust-port?x=1', status: 403, direction: 'ingress', node: 'node1' } as const

describe.each([['text', text], ['JSON', json]])('a request that the monitor printed as %s', (_, line) => {
  test('is found by all that can be asked of it', () => {
    expect(parseMonitorLine(line)).toMatchObject({ type: 'l7', flow: 'Request', protocol: 'http', url: 'http://deathstar/v1/exhaust-port?x=1' })
    expect(containsRequest(window([], line), denied, false).pass).toBe(true)
  })

  test.each([[{ verdict: 'Forwarded' }, 'verdict: Denied (expected Forwarded)'], [{ method: 'POST' }, 'method: PUT (expected POST)'], [{ status: 200 }, 'status: 403 (expected 200)'], [{ from: { ...tie, identity: 301 } }, 'source identity: 300 (expected 301)'], [{ node: 'node2' }, 'node: node1 (expected node2)']])('differs where it does: %j', (change, said) => {
    const verdict = containsRequest(window([], line), { ...denied, ...change } as typeof denied, false)
    expect(verdict.pass).toBe(false)
    expect(verdict.message()).toContain(said)
  })
})

test('a client of another node has no endpoint here, and is told by its identity', () => {
  expect(containsRequest(window([], text.replace('from 5', 'from 0')), denied, false).pass).toBe(true)
})

test('that there was none can only be said of a complete window', () => {
  expect(containsRequest(window([]), denied, true)).toMatchObject({ pass: false })
  const verdict = containsRequest(window(['7 events lost']), denied, true)
  expect(verdict.pass).toBe(true)
  expect(verdict.message()).toMatch(/^cannot say that there was not an l7 event Denied PUT [^]*7 events lost/)
})
