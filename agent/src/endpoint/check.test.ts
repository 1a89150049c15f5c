import { describe, expect, it } from 'vitest'
import type { InspectedEndpoint } from '../datapath/types.ts'
import { createLogger } from '../log.ts'
import { differences, prevResultOf, type CNIResult } from './check.ts'
import { CNIHandler, type CNIDeps } from './cni.ts'

const promised: CNIResult = {
  interfaces: [{ name: 'lxc1', mac: '02:00:00:00:00:02' }, { name: 'eth0', mac: '02:00:00:00:00:01', sandbox: '/proc/7/ns/net' }],
  ips: [{ interface: 1, address: '10.244.1.7/32' }, { interface: 1, address: 'F00D::7/128' }],
  routes: [{ dst: '10.244.1.1/32' }, { dst: '0.0.0.0/0', gw: '10.244.1.1' }, { dst: '::/0', gw: 'f00d::1' }],
}
const container = { mac: '02:00:00:00:00:01', up: true, addresses: ['10.244.1.7/32', 'f00d::7/128'], routes: [{ dst: '10.244.1.1/32' }, { dst: '0.0.0.0/0', gw: '10.244.1.1' }, { dst: '::/0', gw: 'f00d::1' }] }
const host = { mac: '02:00:00:00:00:02', up: true }
const of = { netns: '/proc/7/ns/net', ifname: 'eth0', hostInterface: 'lxc1' }
type Container = NonNullable<InspectedEndpoint['container']>
const compare = (seen: Partial<Container>, more: Partial<CNIResult> = {}) => differences({ ...promised, ...more }, { host, container: { ...container, ...seen } }, of)

describe('a container', () => {
  it('is as it was added, whatever others have added since', () => {
    expect(compare({})).toEqual([])
    expect(compare({ addresses: [...container.addresses, '10.9.9.9/24'], routes: [...container.routes, { dst: '10.9.9.0/24' }] })).toEqual([])
    expect(compare({}, { interfaces: [...promised.interfaces!, { name: 'eth1', sandbox: '/proc/7/ns/net' }], ips: [...promised.ips!, { interface: 2, address: '10.9.9.9/24' }] })).toEqual([])
    expect(differences({}, { host, container }, of)).toEqual([])
  })

  it.each<[Partial<Container>, string]>([
    [{ up: false }, 'interface eth0 is down'],
    [{ mac: '02:00:00:00:00:09' }, 'interface eth0 has MAC 02:00:00:00:00:09 instead of 02:00:00:00:00:01'],
    [{ addresses: ['f00d::7/128'] }, 'interface eth0 has no address 10.244.1.7/32 (it has f00d::7/128)'],
    [{ addresses: ['10.244.1.7/24', 'f00d::7/128'] }, 'interface eth0 has no address 10.244.1.7/32 (it has 10.244.1.7/24, f00d::7/128)'],
    [{ routes: [] }, 'there is no route to 10.244.1.1/32 (there are routes to none)'],
    [{ routes: [{ dst: '10.244.1.1/32' }, { dst: '0.0.0.0/0', gw: '10.244.1.2' }, { dst: '::/0', gw: 'f00d::1' }] }, 'the route to 0.0.0.0/0 is by 10.244.1.2 instead of 10.244.1.1'],
    [{ routes: [{ dst: '10.244.1.1/32' }, { dst: '0.0.0.0/0' }, { dst: '::/0', gw: 'f00d::1' }] }, 'the route to 0.0.0.0/0 is by no gateway instead of 10.244.1.1'],
  ])('that has changed is told by what differs: %j', (seen, wanted) => expect(compare(seen)[0]).toBe(wanted))

  it('without an interface is told so, and so is one of another container', () => {
    expect(differences(promised, { host: undefined, container: undefined }, of)).toEqual(['interface lxc1 of the host is gone', 'interface eth0 is gone'])
    expect(differences(promised, { host: { mac: '02:00:00:00:00:08', up: true }, container }, of)).toEqual(['interface lxc1 has MAC 02:00:00:00:00:08 instead of 02:00:00:00:00:02'])
    expect(differences(promised, { host, container }, { ...of, netns: '/proc/8/ns/net' })).toEqual(['the result is of the network namespace /proc/7/ns/net, the container\'s is /proc/8/ns/net'])
    expect(compare({}, { interfaces: [{ name: 'eth5', sandbox: '/proc/7/ns/net' }], ips: [] })).toEqual(['the result names no interface eth0 in the container'])
  })
})

describe('CHECK', () => {
  const endpoint = { state: 'ready', record: { hostInterface: 'lxc1', ipv4: '10.244.1.7', ipv6: 'f00d::7' }, link: { mac: container.mac, nodeMac: host.mac } }
  const check = (config: object | string, seen: Partial<Container> | 'no namespace' = {}, containerId = 'c1') => {
    const deps = {
      endpoints: { byContainer: (id: string) => (id === 'c1' ? endpoint : undefined) }, self: { routerIPv4: '10.244.1.1', ipv6: { router: 'f00d::1' } }, log: createLogger({ debug: false, write: () => undefined }),
      inspect: () => {
        if (seen === 'no namespace') throw new Error('opening network namespace /proc/7/ns/net: is the pod\'s sandbox gone?')
        return { host, container: { ...container, routes: [...container.routes, { dst: 'f00d::1/128' }], ...seen } }
      },
    } as unknown as CNIDeps
    return new CNIHandler(deps).handle({ command: 'CHECK', containerId, netns: of.netns, ifname: 'eth0', args: '', config: typeof config === 'string' ? config : JSON.stringify({ cniVersion: '0.4.0', ...config }) })
  }
  const failure = (code: number, msg: string | RegExp) => ({ ok: false, body: { cniVersion: '0.4.0', code, msg: typeof msg === 'string' ? msg : expect.stringMatching(msg) as string } })

  it('passes while the container is as ADD answered, with or without the runtime\'s account of it', async () => {
    expect(await check({})).toEqual({ ok: true, body: {} })
    expect(await check({ prevResult: { cniVersion: '0.4.0', ...promised } })).toEqual({ ok: true, body: {} })
  })

  it('says what differs, once', async () => {
    const seen = { addresses: ['10.244.1.9/32', 'f00d::7/128'] }
    for (const config of [{}, { prevResult: promised }])
      expect(await check(config, seen)).toEqual(failure(100, 'container c1 is not as it was added: interface eth0 has no address 10.244.1.7/32 (it has 10.244.1.9/32, f00d::7/128)'))
  })

  it('believes neither account alone', async () => {
    expect(await check({ prevResult: { ...promised, ips: [{ interface: 1, address: '10.244.1.8/32' }] } })).toEqual(failure(100, /has no address 10\.244\.1\.8\/32/))
    expect(await check({ prevResult: {} }, { addresses: [] })).toEqual(failure(100, /has no address 10\.244\.1\.7\/32 \(it has none\)/))
  })

  it.each<[string, object | string, number, RegExp]>([
    ['no JSON', '{"cniVersion": ', 6, /is not JSON/],
    ['another version', { cniVersion: '9.9.9' }, 1, /"9\.9\.9" is not supported/],
    ['a result that is none', { prevResult: { ips: [{ addr: '10.244.1.7' }] } }, 7, /^prevResult is not a result of ADD: ips\.0\.address: /],
    ['a result that is a word', { prevResult: 'yes' }, 7, /^prevResult is not a result of ADD/],
    ['an address that is none', { prevResult: { ...promised, ips: [{ address: 'here' }] } }, 100, /has no address here /],
    ['a route that is none', { prevResult: { ...promised, routes: [{ dst: 'away' }] } }, 100, /there is no route to away /],
  ])('refuses %s', async (_, config, code, msg) => expect(await check(config)).toEqual(failure(code, msg)))

  it('fails for a container that is not known, or whose namespace is gone', async () => {
    expect(await check({}, {}, 'c2')).toEqual(failure(3, 'container c2 has no endpoint that is ready'))
    expect(await check({}, 'no namespace')).toEqual(failure(100, /is the pod's sandbox gone/))
  })

  it('has no result to compare with where the runtime passes none', () => expect(prevResultOf('{}')).toBeUndefined())
})
