import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import type { DatapathConfig } from '../datapath/types.ts'
import { createLogger } from '../log.ts'
import type { ResolvedPolicy } from '../policy/resolve.ts'
import { fakeKernel, openFakeDatapath } from '../testing/fake-datapath.ts'
import { recorded } from '../testing/recorded.ts'
import { IPAM } from './ipam.ts'
import { EndpointManager } from './manager.ts'
import { StateDir } from './statedir.ts'

const folder = mkdtempSync(join(tmpdir(), 'lash-endpoints-'))
afterAll(() => rmSync(folder, { recursive: true }))
const log = createLogger({ debug: false, write: () => undefined })
const onlyFrom = (identity: number): ResolvedPolicy => ({ ingress: [{ identity, port: 0, protocol: 'ANY' }] })

/** An endpoint with an identity; `refused` is what the proxy can't do. */
function setUp() {
  const kernel = fakeKernel()
  const proxy: { refused?: string; settled: number } = { settled: 0 }
  const self = { podCIDR: '10.244.1.0/24' }
  const manager = new EndpointManager({
    datapath: openFakeDatapath({} as DatapathConfig, kernel), ipam: new IPAM(self.podCIDR), self, state: new StateDir(folder, log), log,
    proxy: { apply: (_, policy) => ({ ...policy, ...(proxy.refused === undefined ? {} : { refused: proxy.refused }) }), settle: () => { proxy.settled++ }, remove: () => undefined },
  })
  const endpoint = manager.create({ containerId: 'c', netns: '/n', containerInterface: 'eth0', pod: { namespace: 'default', name: 'a' } })
  manager.setIdentity(endpoint, 1000, ['k8s:app=a'])
  let changes = 0
  manager.onChange(() => { changes++ })
  const entries = () => endpoint.history.map(({ code, state, message }) => `${code} ${state}: ${message}`)
  return { kernel, proxy, manager, endpoint, entries, changes: () => changes, policy: () => kernel.endpoints.get(endpoint.id)!.policy }
}

it('a regeneration has the states and words of Cilium\'s', () => {
  const { manager, endpoint, entries } = setUp()
  const before = entries().length
  expect(manager.setPolicy(endpoint, onlyFrom(7), 2, 'policy rules added')).toBe(true)
  const lines = recorded('cli-endpoint_log.txt').split('\n').slice(1, 5).map((line) => { const [, code, state, message] = line.split(/ {2,}/); return `${code} ${state}: ${message}` })
  expect(entries().slice(0, -before)).toEqual(lines)
})

it('one that the datapath refuses leaves the endpoint not-ready, with the reason, until a later one succeeds', () => {
  const { kernel, manager, endpoint, entries, changes, policy } = setUp()
  manager.setPolicy(endpoint, onlyFrom(7), 2, 'x')
  kernel.refused = [`setPolicy ${endpoint.id}`]
  const before = changes()
  expect(() => manager.setPolicy(endpoint, onlyFrom(8), 3, 'policy rules changed')).toThrow('the map is full')
  expect([endpoint.state, endpoint.policyRevision, entries()[0]]).toEqual(['not-ready', 2, 'Failure not-ready: Error regenerating endpoint: the map is full'])
  expect(changes()).toBe(before + 1)
  expect(() => manager.setPolicy(endpoint, onlyFrom(8), 3, 'again')).toThrow('the map is full')
  // A listener begins a try: one a failure would never pause.
  expect(changes()).toBe(before + 1)
  expect(manager.regenerations).toEqual({ success: 1, fail: 2 })
  kernel.refused = []
  expect(manager.setPolicy(endpoint, onlyFrom(8), 3, 'again')).toBe(true)
  expect([endpoint.state, endpoint.policyRevision, policy()]).toEqual(['ready', 3, onlyFrom(8)])
  expect(manager.setPolicy(endpoint, onlyFrom(8), 4, 'again')).toBe(false)
})

it('one that was asked for and fails is made up for by the next policy, the same one too', () => {
  const { kernel, manager, endpoint } = setUp()
  manager.setPolicy(endpoint, onlyFrom(7), 2, 'x')
  kernel.refused = ['adoptEndpoint']
  expect(() => manager.regenerate(endpoint, 'requested')).toThrow('the map is full')
  expect(endpoint.state).toBe('not-ready')
  expect(manager.setPolicy(endpoint, onlyFrom(7), 2, 'again')).toBe(true)
  expect(endpoint.state).toBe('ready')
})

it('what the proxy can\'t redirect is no reason to leave the rest undone', () => {
  const { proxy, manager, endpoint, policy } = setUp()
  proxy.refused = 'no port'
  expect(() => manager.setPolicy(endpoint, onlyFrom(7), 2, 'x')).toThrow('no port')
  expect([endpoint.state, policy(), proxy.settled]).toEqual(['not-ready', onlyFrom(7), 1])
})
