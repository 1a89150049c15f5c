import { rmSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { KubeClient } from '../k8s/client.ts'
import type { CiliumIdentity, KubeList } from '../k8s/types.ts'
import { controlPlaneAvailable, startControlPlane, type ControlPlane } from '../testing/control-plane.ts'
import { startEtcd, type TestEtcd } from '../testing/etcd.ts'
import { startTestAgent, type TestAgent } from '../testing/test-agent.ts'

/** Two agents with fake datapaths against a real API server and a real etcd. */
describe.skipIf(!controlPlaneAvailable())('two agents with a kvstore', { timeout: 60_000 }, () => {
  let plane: ControlPlane
  let etcd: TestEtcd
  let kube: KubeClient
  let [one, two]: TestAgent[] = []

  beforeAll(async () => {
    // One after the other: what the first has started is ended when the second does not start.
    etcd = await startEtcd()
    plane = await startControlPlane()
    kube = plane.client()
    for (const n of [1, 2]) {
      await kube.create('/api/v1/nodes', { metadata: { name: `node${n}` }, spec: { podCIDR: `10.244.${n}.0/24`, podCIDRs: [`10.244.${n}.0/24`] } })
      await kube.mergePatch(`/api/v1/nodes/node${n}/status`, { status: { addresses: [{ type: 'InternalIP', address: `192.168.77.1${n}` }] } })
    }
    ;[one, two] = await Promise.all([1, 2].map((n) => startTestAgent(plane, `node${n}`, ['--kvstore=etcd', `--kvstore-opt=${etcd.options}`])))
  }, 300_000)

  afterAll(async () => {
    for (const agent of [one, two]) { await agent?.stop(); if (agent !== undefined) rmSync(agent.dir, { recursive: true, force: true }) }
    kube?.close()
    await etcd?.stop()
    await plane?.stop()
  }, 60_000)

  const start = async (agent: TestAgent, name: string, node: string, labels: Record<string, string>) => {
    await kube.create('/api/v1/namespaces/default/pods', { metadata: { name, labels }, spec: { nodeName: node, containers: [{ name: 'c', image: 'x' }], automountServiceAccountToken: false } })
    return agent.cni('ADD', { container: `c-${name}`, pod: name })
  }
  const identityOf = (agent: TestAgent, ip: string) => [...agent.kernel.endpoints.values()].find(({ ipv4 }) => ipv4 === ip)?.identity
  const eventually = (check: () => void | Promise<void>, timeout = 15_000) => expect.poll(async () => { try { await check(); return 'ok' } catch (error) { return String(error) } }, { timeout, interval: 20 }).toBe('ok')

  it('keep identities and addresses there, and none in Kubernetes', async () => {
    const added = await Promise.all([start(one!, 'a1', 'node1', { app: 'a' }), start(two!, 'a2', 'node2', { app: 'a' })])
    expect(added.map(({ status, answer }) => [status, answer.msg])).toEqual([[0, undefined], [0, undefined]])
    const id = identityOf(one!, '10.244.1.2')!
    expect(identityOf(two!, '10.244.2.2')).toBe(id)
    await eventually(() => {
      expect(one!.kernel.ipcache.get('10.244.2.2')).toEqual({ identity: id, node: '192.168.77.12' })
      expect(two!.kernel.ipcache.get('f00d::af4:100:0:2')).toEqual({ identity: id, node: '192.168.77.11' })
    })
    expect((await kube.get<KubeList<CiliumIdentity>>('/apis/cilium.io/v2/ciliumidentities')).items ?? []).toEqual([])
    for (const agent of [one!, two!]) expect((await agent.answer('identity', 'get', String(id))).out).toContain('k8s:app=a')
  })

  it('say so, and let people look', async () => {
    expect((await one!.answer('status')).out).toMatch(/^KVStore: +Ok +etcd: 1\/1 connected: https:\S+ - 3\.\d+\.\d+ \(Leader\) *$/m)
    const id = String(identityOf(one!, '10.244.1.2'))
    const { out } = await one!.answer('kvstore', 'get', '--recursive', 'cilium/state/identities/v1/')
    expect(out.split('\n').filter((line) => line.includes(id)).map((line) => line.split(' => ')[0]!.split('/').at(-1))).toEqual([id, '192.168.77.11', '192.168.77.12'])
    expect((await one!.answer('kvstore', 'get', 'cilium/state/ip/v1/default/10.244.2.2')).out).toMatch(/^cilium\/state\/ip\/v1\/default\/10\.244\.2\.2 => \{"IP":"10\.244\.2\.2",/)
    expect(await one!.answer('kvstore', 'set', '--key', 'mine', '--value', 'x')).toEqual({ code: 0, out: '' })
    expect((await two!.answer('kvstore', 'get', 'mine', '-o', 'json')).out).toBe('{\n  "mine": "x"\n}\n')
    expect(await two!.answer('kvstore', 'delete', 'mine')).toEqual({ code: 0, out: '' })
    expect(await one!.answer('kvstore', 'get', 'mine')).toEqual({ code: 1, out: 'Error: Unable to retrieve key: there is no key mine\n' })
  })

  it('let a pod with known labels start while etcd is away, and another one once it is back', async () => {
    const before = JSON.stringify([...two!.kernel.ipcache])
    await etcd.kill()
    await eventually(async () => expect((await one!.answer('status', '--brief'))).toEqual({ code: 1, out: expect.stringMatching(/^error in kvstore: Err: /) as string }))
    await eventually(async () => expect(await one!.answer('status')).toEqual({ code: 1, out: expect.stringMatching(/^KVStore: +Failure +Err: Not able to connect to any etcd endpoints - etcd: 0\/1 connected: /m) as string }))
    expect(JSON.stringify([...two!.kernel.ipcache])).toBe(before)
    expect((await start(one!, 'a3', 'node1', { app: 'a' })).status).toBe(0)
    expect(identityOf(one!, '10.244.1.3')).toBe(identityOf(one!, '10.244.1.2'))
    expect(await start(one!, 'b1', 'node1', { app: 'b' })).toMatchObject({ status: 1, answer: { msg: expect.stringMatching(/^cannot (write|get a lease): /) as string } })
    await etcd.start()
    await eventually(async () => expect(await one!.answer('status', '--brief')).toEqual({ code: 0, out: 'OK\n' }), 30_000)
    expect((await one!.cni('ADD', { container: 'c-b1', pod: 'b1' })).status).toBe(0)
    await eventually(() => expect(two!.kernel.ipcache.get('10.244.1.3')).toEqual({ identity: identityOf(one!, '10.244.1.2'), node: '192.168.77.11' }))
  })

  it('come back to what they had', async () => {
    const state = () => JSON.stringify([[...one!.kernel.endpoints], [...one!.kernel.ipcache].sort()])
    const before = state()
    await one!.stop()
    one!.kernel.calls.length = 0
    await one!.start()
    expect(state()).toBe(before)
    expect(one!.kernel.calls.filter((call) => !call.startsWith('adoptEndpoint') && !call.startsWith('setPolicy'))).toEqual([])
  })

  it('drop an identity when its last endpoint has gone, on whatever node', async () => {
    const [a, b] = [identityOf(one!, '10.244.1.2')!, [...one!.kernel.endpoints.values()].map(({ identity }) => identity).find((id) => id !== identityOf(one!, '10.244.1.2'))!]
    await one!.cni('DEL', { container: 'c-b1', pod: 'b1' })
    const listed = async (agent: TestAgent) => (JSON.parse((await agent.answer('identity', 'list', '-o', 'json')).out) as { id: number }[]).map(({ id }) => id)
    for (const agent of [one!, two!]) await eventually(async () => expect(await listed(agent)).not.toContain(b))
    for (const name of ['a1', 'a3']) await one!.cni('DEL', { container: `c-${name}`, pod: name })
    await eventually(() => expect(two!.kernel.ipcache.has('10.244.1.2')).toBe(false))
    expect(await listed(one!)).toContain(a)
  })
})
