import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Etcd3 } from 'etcd3'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { EndpointRecord } from '../endpoint/endpoint.ts'
import type { Labels } from '../identity/labels.ts'
import { createLogger } from '../log.ts'
import { etcdAvailable, startEtcd, type TestEtcd } from '../testing/etcd.ts'
import { Compacted, op } from './client.ts'
import { encodeLabels, idKey, ipKey, prefixes, userKey, usersPrefix } from './layout.ts'
import { EtcdState, openEtcd, type Etcd } from './state.ts'

const app = (name: string): Labels => [`k8s:app=${name}`, 'k8s:io.kubernetes.pod.namespace=default']
const record = (id: number, identity: number, labels: Labels, ipv4: string): EndpointRecord =>
  ({ id, identity, labels, ipv4, containerId: 'c', netns: '/n', containerInterface: 'eth0', hostInterface: 'lxc', pod: { namespace: 'default', name: `pod${id}` }, namedPorts: {} })
const eventually = (check: () => unknown, timeout = 10_000) => expect.poll(async () => { try { await check(); return 'ok' } catch (error) { return String(error) } }, { timeout, interval: 20 }).toBe('ok')

/** Nodes' parts of the kvstore, on a real etcd. */
describe.skipIf(!etcdAvailable())('agents that share an etcd', { timeout: 60_000 }, () => {
  let etcd: TestEtcd
  const opened: Etcd[] = []
  const log: string[] = []

  beforeAll(async () => { etcd = await startEtcd() }, 60_000)
  afterAll(() => etcd?.stop())

  interface Node { state: EtcdState; etcd: Etcd; ip: string }
  const node = async (n: number, { leaseTtl = 60, graceMs = 0 } = {}): Promise<Node> => {
    const own = await openEtcd({ options: etcd.options, leaseTtl, log: createLogger({ debug: true, write: (line) => void log.push(line) }) })
    opened.push(own)
    await own.mirror.ready
    const ip = `192.168.77.1${n}`
    return { etcd: own, ip, state: new EtcdState({ etcd: own, node: { name: `node${n}`, ipv4: ip }, log: createLogger({ debug: true, write: (line) => void log.push(line) }), graceMs }) }
  }
  let [one, two]: Node[] = []
  beforeEach(async () => { [one, two] = await Promise.all([node(1), node(2)]) })
  afterEach(async () => {
    await one!.etcd.store.delete('cilium/', { recursive: true })
    await Promise.all(opened.splice(0).map((each) => each.stop()))
  })
  /** What no agent does. */
  const asAdmin = async (run: (client: Etcd3) => Promise<unknown>): Promise<void> => {
    const [rootCertificate, certChain, privateKey] = ['ca.crt', 'client.crt', 'client.key'].map((name) => readFileSync(join(etcd.dir, name))) as [Buffer, Buffer, Buffer]
    const client = new Etcd3({ hosts: etcd.endpoint, credentials: { rootCertificate, certChain, privateKey } })
    await run(client)
    client.close()
  }
  const get = (key: string) => one!.etcd.store.get(key)

  it('give the same labels one identity, even at the same time, and lay it out as Cilium does', async () => {
    const all = await Promise.all([one!.state.allocate(app('a')), two!.state.allocate(app('a')), one!.state.allocate(app('b')), two!.state.allocate([...app('a')].reverse()), one!.state.allocate(app('a'))])
    const [a, , b] = all
    expect(all).toEqual([a, a, b, a, a])
    expect(a).not.toBe(b)
    expect(a).toBeGreaterThanOrEqual(256)
    const key = Buffer.from('k8s:app=a;k8s:io.kubernetes.pod.namespace=default;').toString('base64').replaceAll('+', '-').replaceAll('/', '_')
    const { entries } = await one!.etcd.store.list('cilium/')
    expect([...entries.keys()].filter((name) => name.endsWith(String(a)) || name.includes(key)).sort()).toEqual([`cilium/state/identities/v1/id/${a}`, `cilium/state/identities/v1/value/${key}/192.168.77.11`, `cilium/state/identities/v1/value/${key}/192.168.77.12`])
    expect(entries.get(`cilium/state/identities/v1/id/${a}`)).toMatchObject({ value: key, lease: '0' })
    expect(entries.get(`cilium/state/identities/v1/value/${key}/192.168.77.11`)).toMatchObject({ value: String(a), lease: one!.etcd.lease.id })
    await eventually(() => { for (const { state } of [one!, two!]) expect([state.identities().get(a), state.identities().get(b)]).toEqual([app('a'), app('b')]) })
    expect(one!.state.lookup(app('b'))).toBe(b)
    // A node that uses it not has to take it first.
    expect(two!.state.lookup(app('b'))).toBeUndefined()
    expect(two!.state.identities().get(1)).toEqual(['reserved:host'])
  })

  it('give labels another number where theirs is another\'s, the same on every node', async () => {
    const first = await one!.state.allocate(app('a'))
    await one!.etcd.store.delete(prefixes.all, { recursive: true })
    await one!.etcd.store.put(idKey(first), encodeLabels(app('other')))
    const [x, y] = await Promise.all([one!.state.allocate(app('a')), two!.state.allocate(app('a'))])
    expect(x).toBe(y)
    expect(x).not.toBe(first)
    expect(await get(idKey(first))).toBe(encodeLabels(app('other')))
  })

  it('take an identity again that nobody uses, whatever its number', async () => {
    await one!.etcd.store.put(idKey(777), encodeLabels(app('a')))
    await eventually(() => expect(two!.state.identities().get(777)).toEqual(app('a')))
    expect(await two!.state.allocate(app('a'))).toBe(777)
    expect(await one!.state.allocate(app('a'))).toBe(777)
  })

  it('tell each other the addresses of their endpoints, and take back what is gone', async () => {
    const id = await one!.state.allocate(app('a'))
    const endpoint = { ...record(7, id, app('a'), '10.244.1.5'), ipv6: 'f00d::af4:100:0:5' }
    await one!.state.publish([endpoint, record(8, 5, ['reserved:init'], '10.244.1.6')])
    expect(JSON.parse(await get('cilium/state/ip/v1/default/10.244.1.5') ?? '')).toMatchObject({ IP: '10.244.1.5', Mask: null, HostIP: one!.ip, ID: id, Metadata: 'cilium-global:default:node1:7' })
    await eventually(() => expect(two!.state.addresses()).toEqual([{ ip: '10.244.1.5', identity: id, node: one!.ip }, { ip: 'f00d::af4:100:0:5', identity: id, node: one!.ip }]))
    expect(one!.state.addresses()).toEqual([])
    expect(await get(ipKey('10.244.1.6'))).toBeUndefined()
    await one!.state.publish([])
    await eventually(() => expect(two!.state.addresses()).toEqual([]))
    expect(await get(userKey(encodeLabels(app('a')), one!.ip))).toBeUndefined()
  })

  it('collect identities that no node uses, and no other', async () => {
    const [used, dropped] = [await one!.state.allocate(app('a')), await one!.state.allocate(app('b'))]
    await one!.state.publish([record(7, used, app('a'), '10.244.1.5'), record(8, dropped, app('b'), '10.244.1.6')])
    await eventually(() => expect(two!.state.identities().has(dropped)).toBe(true))
    for (let look = 0; look < 3; look++) expect(await two!.state.collect()).toBe(0)
    await one!.state.publish([record(7, used, app('a'), '10.244.1.5')])
    await eventually(() => expect(two!.etcd.mirror.get(userKey(encodeLabels(app('b')), one!.ip))).toBeUndefined())
    expect(await two!.state.collect()).toBe(0)
    expect(await two!.state.collect()).toBe(1)
    expect([await get(idKey(used)), await get(idKey(dropped))]).toEqual([encodeLabels(app('a')), undefined])
    await eventually(() => expect(one!.state.identities().has(dropped)).toBe(false))
  })

  it('collect none that a node takes between the look and the deletion', async () => {
    await one!.etcd.store.put(idKey(777), encodeLabels(app('a')))
    for (const { state } of [one!, two!]) await eventually(() => expect(state.identities().has(777)).toBe(true))
    expect(await two!.state.collect()).toBe(0)
    // Unseen by the second node: its copy does not follow any more.
    two!.etcd.mirror.stop()
    expect(await one!.state.allocate(app('a'))).toBe(777)
    expect(await two!.state.collect()).toBe(0)
    expect(await get(idKey(777))).toBe(encodeLabels(app('a')))
  })

  it('put back what somebody took away although it is in use', async () => {
    const id = await one!.state.allocate(app('a'))
    const endpoints = [record(7, id, app('a'), '10.244.1.5')]
    await one!.state.publish(endpoints)
    await two!.etcd.store.delete(prefixes.all, { recursive: true })
    await eventually(() => expect(one!.etcd.mirror.get(idKey(id))).toBeUndefined())
    await one!.state.publish(endpoints)
    expect([await get(idKey(id)), await get(userKey(encodeLabels(app('a')), one!.ip))]).toEqual([encodeLabels(app('a')), String(id)])
    expect(await get(ipKey('10.244.1.5'))).toContain(`"ID":${id}`)
    // Somebody else's by now: the endpoint needs another.
    await two!.etcd.store.put(idKey(id), encodeLabels(app('other')))
    await eventually(() => expect(one!.state.lookup(app('a'))).toBeUndefined())
    await expect(one!.state.publish(endpoints)).rejects.toThrow(`identity ${id} stands for other labels now`)
    const next = await one!.state.allocate(app('a'))
    expect(next).not.toBe(id)
    expect(await two!.state.allocate(app('a'))).toBe(next)
  })

  it('lose what a node wrote when it is heard of no more, but not the identities', async () => {
    const gone = await node(3, { leaseTtl: 1 })
    const id = await gone.state.allocate(app('c'))
    await gone.state.publish([record(9, id, app('c'), '10.244.3.5')])
    await eventually(() => expect(one!.state.addresses()).toHaveLength(1))
    await gone.etcd.stop()
    await eventually(() => expect(one!.state.addresses()).toEqual([]), 20_000)
    expect((await one!.etcd.store.list(usersPrefix(encodeLabels(app('c'))))).entries.size).toBe(0)
    expect(one!.state.identities().get(id)).toEqual(app('c'))
  })

  it('write anew under another lease when theirs is over', async () => {
    const id = await one!.state.allocate(app('a'))
    const endpoints = [record(7, id, app('a'), '10.244.1.5')]
    await one!.state.publish(endpoints)
    const { lease, store } = one!.etcd
    const before = lease.id
    expect(await lease.renew()).toBe(true)
    await asAdmin((client) => client.leaseClient.leaseRevoke({ ID: before! }))
    await eventually(() => expect(one!.etcd.mirror.get(ipKey('10.244.1.5'))).toBeUndefined())
    await one!.state.publish(endpoints)
    expect(lease.id).not.toBe(before)
    expect((await store.list(prefixes.ip)).entries.get(ipKey('10.244.1.5'))?.lease).toBe(lease.id)
    await asAdmin((client) => client.leaseClient.leaseRevoke({ ID: lease.id! }))
    expect(await lease.renew()).toBe(false)
  })
  it('see what was changed before a compaction', async () => {
    const { store } = one!.etcd
    const from = await store.put('cilium/state/test', '1')
    const last = await store.put('cilium/state/test', '2')
    await asAdmin((client) => client.kv.compact({ revision: last }))
    const { signal } = new AbortController()
    await expect(store.watch(prefixes.all, from, { open: () => undefined, change: () => undefined }, signal)).rejects.toBeInstanceOf(Compacted)
    const late = await node(3)
    expect(late.etcd.mirror.get('cilium/state/test')?.value).toBe('2')
  })
  it('go on with what they know while etcd is away, say so, and catch up', async () => {
    const id = await one!.state.allocate(app('a'))
    await one!.state.publish([record(7, id, app('a'), '10.244.1.5')])
    await eventually(() => expect(two!.state.addresses()).toHaveLength(1))
    await eventually(() => expect(two!.state.status()).toEqual({ state: 'Ok', msg: expect.stringMatching(new RegExp(`^etcd: 1/1 connected: ${etcd.endpoint} - 3\\.\\d+\\.\\d+ \\(Leader\\)$`)) as string }))
    await etcd.kill()
    await eventually(() => expect(two!.state.status()).toEqual({ state: 'Failure', msg: expect.stringMatching(/^Err: Not able to connect to any etcd endpoints - etcd: 0\/1 connected: https:\/\/\S+ - .*ECONNREFUSED/) as string }))
    expect(two!.state.addresses()).toHaveLength(1)
    expect(one!.state.lookup(app('a'))).toBe(id)
    expect(await one!.state.allocate(app('a'))).toBe(id)
    await expect(one!.state.allocate(app('new'))).rejects.toThrow(/^cannot get|^cannot write/)
    expect(log.filter((line) => line.includes('level=warning') && line.includes('Lost etcd: traffic and policy go on')).length).toBeGreaterThan(0)
    await etcd.start()
    await eventually(() => expect(two!.state.status().state).toBe('Ok'), 20_000)
    const fresh = await one!.state.allocate(app('new'))
    await eventually(() => expect(two!.state.identities().get(fresh)).toEqual(app('new')))
    expect(log.some((line) => line.includes('Connected to etcd again'))).toBe(true)
  })

  it('are not let in without a certificate', async () => {
    const stranger = await openEtcd({ options: etcd.strangerOptions, leaseTtl: 60, log: createLogger({ debug: true, write: (line) => void log.push(line) }) })
    opened.push(stranger)
    await expect(stranger.store.txn([], [op.get('x')])).rejects.toThrow(/^cannot write: /)
    expect(stranger.mirror.synced).toBe(false)
    await eventually(() => expect(stranger.status.model().state).toBe('Failure'))
  })
})
