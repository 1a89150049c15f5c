/**
 * Redirects to the proxy on this machine's kernel: two nodes and their pods as network namespaces. Needs root, clang and iproute2.
 *
 *   npx vitest run --config agent/src/datapath/vitest.integration.config.ts agent/src/proxy
 */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TRACE_POINT } from '../datapath/events.ts'
import { OUTSIDE, type Answer } from '../datapath/testing/lab.ts'
import { compile, serveWeb, world, type World } from '../datapath/testing/world.ts'
import type { ConntrackEntry } from '../datapath/types.ts'
import type { Allow } from '../policy/allow.ts'
import type { HTTPRule } from '../policy/rule.ts'

const WEB = 8000
/** An identity that has the bits of kubelet's marks. */
const CLIENT = 0xc3f2
/** In agent/bpf/lib/maps.h. */
const CT_PROXY = 64
const DENIED = { reply: '403 Access denied' }
const landing: HTTPRule = { method: 'POST', path: '/v1/request-landing' }
const requests = (identity: number, ...http: HTTPRule[]): Allow => ({ identity, port: WEB, protocol: 'TCP', http })

/** What serves the web there is asked for requests; hosts are known to each other by their routers' addresses. */
async function webWorld(objectFile: string): Promise<World> {
  const w = await world(objectFile, { identity: CLIENT })
  try {
    for (const [agent, { config }] of [[w.a1, w.n2], [w.a2, w.n1]] as const) await agent.call('upsertIPCache', config.routerIPv4, { identity: 1, node: config.nodeIPv4 })
    await serveWeb(w, WEB)
    return w
  } catch (error) {
    await w.lab.close()
    throw error
  }
}

describe.skipIf(process.getuid?.() !== 0)('requests', { timeout: 120_000 }, () => {
  let folder: string, w: World
  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lash-l7-'))
    w = await webWorld(compile(folder))
  }, 240_000)
  afterAll(async () => {
    await w.lab.close()
    fs.rmSync(folder, { recursive: true })
  }, 120_000)

  const ask = (netns: string, ip: string, method: string, url: string, port = WEB, from = 0): Promise<Answer> => w.lab.run(netns, 'http', ip, String(port), method, url, String(from))
  const put = '/v1/exhaust-port', post = '/v1/request-landing'

  test('programs load, and how large they are for the verifier is told', () => {
    const sizes = (w.a1.ready as unknown as { programs: { name: string; instructions: number; processed: number }[] }).programs
    console.log(sizes.map(({ name, instructions, processed }) => `${name} ${instructions} ${processed}`).join(', '))
    for (const { name, instructions } of sizes) expect(instructions, name).toBeLessThan(4096)
  })

  describe('by the receiver\'s policy', () => {
    beforeAll(() => w.a1.call('applyPolicy', 11, { ingress: [requests(CLIENT, landing), requests(2010, landing)] }))
    afterAll(() => w.a1.call('applyPolicy', 11, {}))

    test('those that a rule matches pass, all others are denied, and others\' connections dropped', async () => {
      const seen = w.a1.events.length
      expect(await ask(w.client.netns, w.near.ip, 'POST', post)).toEqual({ reply: `200 near POST ${post} ${w.near.ip}:${WEB} 100000 from ${w.n1.config.routerIPv4}` })
      expect(await ask(w.client.netns, w.near.ip, 'PUT', put)).toEqual(DENIED)
      expect(await ask(w.client.netns, w.near.ip, 'GET', post)).toEqual(DENIED)
      expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.toProxy, source: 11, srcIdentity: CLIENT, dstIdentity: 1011 }, seen)).toBeDefined()
      expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.fromProxy, source: 11, srcIdentity: 1011 }, seen)).toBeDefined()
      expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.toEndpoint, dstId: 11, srcIdentity: CLIENT }, seen)).toBeDefined()
      expect(await w.a1.event({ type: 'l7', verdict: 'Denied' }, seen)).toMatchObject({
        record: { type: 'Request', observationPoint: 'Ingress', source: { id: 10, identity: CLIENT }, destination: { id: 11, identity: 1011 }, http: { method: 'PUT', path: put, code: 403 } },
      })
      expect(await ask(w.n2.netns, w.near.ip, 'PUT', put)).toMatchObject({ reply: expect.stringMatching(/^200 near PUT/) as string })
      expect(await w.a1.call('statistics', 11)).toEqual([{
        location: 'ingress', port: WEB, protocol: 'http', statistics: { requests: { received: 3, forwarded: 1, denied: 2, error: 0 }, responses: { received: 1, forwarded: 1, denied: 0, error: 0 } },
      }])
    })

    test('of another node too, by the identity that came with them', async () => {
      expect(await ask(w.far.netns, w.near.ip, 'POST', post)).toMatchObject({ reply: expect.stringMatching(/^200 near POST/) as string })
      expect(await ask(w.far.netns, w.near.ip, 'PUT', put)).toEqual(DENIED)
      await w.a1.call('applyPolicy', 11, { ingress: [requests(CLIENT, landing)] })
      expect(await ask(w.far.netns, w.near.ip, 'POST', post)).toEqual({ error: 'timeout' })
      expect(await w.a1.event({ type: 'drop', reason: 133, srcIdentity: 2010, dstId: 11 })).toBeDefined()
    })

    test('through a service, whose address the answers have', async () => {
      await w.a1.call('upsertService', { id: 1, frontend: { ip: '10.96.0.10', port: 80, protocol: 'TCP' }, backends: [{ ip: w.near.ip, port: WEB }] })
      expect(await ask(w.client.netns, '10.96.0.10', 'POST', post, 80)).toMatchObject({ reply: expect.stringMatching(/^200 near POST/) as string })
      expect(await ask(w.client.netns, '10.96.0.10', 'PUT', put, 80)).toEqual(DENIED)
    })

    test('from the world, at a node port of this node and of another', async () => {
      await w.a1.call('applyPolicy', 11, { ingress: [requests(2, landing)] })
      for (const [agent, node] of [[w.a1, w.n1], [w.a2, w.n2]] as const) {
        await agent.call('upsertService', { id: 9, frontend: { ip: node.config.nodeIPv4, port: 30080, protocol: 'TCP' }, backends: [{ ip: w.near.ip, port: WEB }] })
        expect(await ask(w.outside, node.config.nodeIPv4, 'POST', post, 30080)).toMatchObject({ reply: expect.stringMatching(/^200 near POST/) as string })
        expect(await ask(w.outside, node.config.nodeIPv4, 'PUT', put, 30080)).toEqual(DENIED)
      }
      expect(await ask(w.outside, w.near.ip, 'POST', post)).toMatchObject({ reply: expect.stringMatching(/^200 near POST/) as string })
      expect(await ask(w.client.netns, w.near.ip, 'POST', post)).toEqual({ error: 'timeout' })
    })

    test('a policy that changes holds for the next request of a connection that is there', async () => {
      await w.a1.call('applyPolicy', 11, { ingress: [requests(CLIENT, landing)] })
      const visit = await w.lab.helper(w.client.netns, 'visit', w.near.ip, String(WEB), 'PUT', put)
      expect(visit.lines[0]).toBe('403 Access denied')
      await w.a1.call('applyPolicy', 11, { ingress: [requests(CLIENT, landing, { method: 'PUT', path: '/v1/.*' })] })
      await expect.poll(() => visit.lines.at(-1)).toMatch(/^200 near PUT/)
      // The port is open to all requests now: the connection stays with the proxy, which lets it.
      await w.a1.call('applyPolicy', 11, { ingress: [{ identity: CLIENT, port: WEB, protocol: 'TCP' }] })
      const before = visit.lines.length
      await expect.poll(() => visit.lines.length).toBeGreaterThan(before + 3)
      expect(visit.lines.slice(before).every((line) => line.startsWith('200 near PUT'))).toBe(true)
      const seen = w.a1.events.length
      await w.a1.call('applyPolicy', 11, { ingress: [] })
      expect(await w.a1.event({ type: 'drop', reason: 133, srcIdentity: CLIENT, dstId: 11 }, seen)).toBeDefined()
      const answers = visit.lines.length
      expect(await ask(w.client.netns, w.near.ip, 'PUT', put)).toEqual({ error: 'timeout' })
      expect(visit.lines.length).toBe(answers)
      visit.stop()
    })
  })

  test('an identity has nothing of Kubernetes\' marks, with which kubelet drops packets', async () => {
    // What kubelet has iptables do.
    const drop = ['fwmark', '0x8000/0x8000', 'blackhole']
    execFileSync('ip', ['-n', w.n1.netns, 'rule', 'add', ...drop])
    await w.a1.call('applyPolicy', 11, { ingress: [requests(CLIENT, landing)] })
    await w.a1.call('applyPolicy', 10, { egress: [requests(2010, landing)] })
    await w.a2.call('applyPolicy', 10, { ingress: [{ identity: CLIENT, port: WEB, protocol: 'TCP' }] })
    expect(await ask(w.client.netns, w.far.ip, 'POST', post)).toMatchObject({ reply: expect.stringMatching(/^200 far POST/) as string })
    await w.a1.call('applyPolicy', 10, {})
    expect(await ask(w.client.netns, w.near.ip, 'POST', post)).toMatchObject({ reply: expect.stringMatching(/^200 near POST/) as string })
    expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.fromProxy, srcIdentity: CLIENT })).toBeDefined()
    execFileSync('ip', ['-n', w.n1.netns, 'rule', 'del', ...drop])
    await w.a1.call('applyPolicy', 11, {})
    await w.a2.call('applyPolicy', 10, {})
  })

  describe('by the sender\'s policy', () => {
    afterAll(async () => { for (const id of [10, 11]) await w.a1.call('applyPolicy', id, {}); await w.a2.call('applyPolicy', 10, {}) })

    test('to a pod here, one of another node, the world and this host', async () => {
      const { client, near, far, n1, n2 } = w
      await w.a1.call('applyPolicy', 10, { egress: [1011, 2010, 1, 2].map((identity) => requests(identity, landing)) })
      for (const [ip, name, from] of [[near.ip, 'near', n1.config.routerIPv4], [far.ip, 'far', n1.config.routerIPv4], [OUTSIDE.ip, 'outside', n1.config.nodeIPv4], [n1.config.nodeIPv4, 'host1', n1.config.nodeIPv4]] as const) {
        expect(await ask(client.netns, ip, 'POST', post)).toEqual({ reply: `200 ${name} POST ${post} ${ip}:${WEB} 100000 from ${from}` })
        expect(await ask(client.netns, ip, 'PUT', put)).toEqual(DENIED)
      }
      expect(await w.a2.event({ type: 'trace', point: TRACE_POINT.toEndpoint, dstId: 10, srcIdentity: CLIENT })).toBeDefined()
      expect(await ask(client.netns, n2.config.nodeIPv4, 'GET', '/', 8001)).toEqual({ error: 'timeout' })
      expect(w.a1.events.findLast((event) => (event as { type: string }).type === 'trace' && 'point' in event && event.point === TRACE_POINT.toProxy)).toMatchObject({ source: 10, srcIdentity: CLIENT })
    })

    test('through a service', async () => {
      await w.a1.call('upsertService', { id: 2, frontend: { ip: '10.96.0.11', port: 80, protocol: 'TCP' }, backends: [{ ip: w.far.ip, port: WEB }] })
      expect(await ask(w.client.netns, '10.96.0.11', 'POST', post, 80)).toMatchObject({ reply: expect.stringMatching(/^200 far POST/) as string })
      expect(await ask(w.client.netns, '10.96.0.11', 'PUT', put, 80)).toEqual(DENIED)
    })

    test('one port of the client\'s towards several servers at a time', async () => {
      const visits = await Promise.all([w.near.ip, w.far.ip, OUTSIDE.ip].map((ip) => w.lab.run(w.client.netns, 'http', ip, String(WEB), 'POST', post, '41234')))
      expect(visits.map(({ reply }) => reply?.split(' ').slice(0, 2).join(' '))).toEqual(['200 near', '200 far', '200 outside'])
    })

    test('both ends\' policies, on one node and across', async () => {
      await w.a1.call('applyPolicy', 11, { ingress: [requests(CLIENT, { method: 'POST|GET' })] })
      await w.a2.call('applyPolicy', 10, { ingress: [requests(CLIENT, { method: 'POST|GET' })] })
      await w.a1.call('applyPolicy', 10, { egress: [1011, 2010].map((identity) => requests(identity, { method: 'POST|PUT' })) })
      for (const [ip, name, agent] of [[w.near.ip, 'near', w.a1], [w.far.ip, 'far', w.a2]] as const) {
        const seen = agent.events.length
        expect(await ask(w.client.netns, ip, 'POST', post)).toMatchObject({ reply: expect.stringMatching(new RegExp(`^200 ${name} POST`)) as string })
        expect(await ask(w.client.netns, ip, 'GET', '/')).toEqual(DENIED)
        expect(await ask(w.client.netns, ip, 'PUT', put)).toEqual(DENIED)
        expect(await agent.event({ type: 'l7', observationPoint: 'Ingress', verdict: 'Denied' }, seen)).toMatchObject({ record: { source: { identity: CLIENT }, http: { method: 'PUT' } } })
      }
    })
  })

  test('what is over leaves nothing behind', async () => {
    await w.a1.call('applyPolicy', 10, { egress: [requests(1011, landing)] })
    expect(await ask(w.client.netns, w.near.ip, 'POST', post)).toMatchObject({ reply: expect.stringMatching(/^200/) as string })
    const flows = async () => (await w.a1.call<ConntrackEntry[]>('listConntrack')).filter(({ dst, src, flags }) => src === w.client.ip && dst === w.near.ip && (flags & CT_PROXY) !== 0)
    expect(await flows()).not.toEqual([])
    // Ten seconds after the last FIN conntrack lets go, and the proxy's map with it.
    await expect.poll(async () => { await w.a1.call('collectConntrack'); return flows() }, { timeout: 30_000, interval: 1000 }).toEqual([])
    await w.a1.call('applyPolicy', 10, {})
  })

  test('after a restart the redirect is back, at its port, and without the agent nobody decides', async () => {
    await w.a1.call('applyPolicy', 11, { ingress: [requests(CLIENT, landing)] })
    const port = async () => (await w.a1.call<{ proxyPort: number }[]>('listPolicy', 11))[0]!.proxyPort
    const before = await port()
    expect(before).toBeGreaterThanOrEqual(10_000)
    await w.a1.stop()
    expect(await ask(w.client.netns, w.near.ip, 'POST', post)).toMatchObject({ error: expect.stringMatching(/ECONNREFUSED|ECONNRESET/) as string })
    w.a1 = await w.n1.start()
    for (const { id, link, ip, identity } of [w.client, w.near]) await w.a1.call('adoptEndpoint', { id, hostInterface: link.hostInterface, ipv4: ip, identity })
    await w.a1.call('applyPolicy', 11, { ingress: [requests(CLIENT, landing)] })
    expect(await port()).toBe(before)
    expect(await ask(w.client.netns, w.near.ip, 'POST', post)).toMatchObject({ reply: expect.stringMatching(/^200 near/) as string })
    expect(await ask(w.client.netns, w.near.ip, 'PUT', put)).toEqual(DENIED)
  })
})

describe.skipIf(process.getuid?.() !== 0)('seeded faults of redirects', { timeout: 240_000 }, () => {
  test.each([
    ['L7_NOT_REDIRECTED', { put: '200 near PUT', across: '200 far POST' }],
    ['L7_FORGETS_IDENTITY', { put: '403 Access denied', across: undefined }],
  ])('%s', async (fault, wanted) => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lash-l7-'))
    const w = await webWorld(compile(folder, fault))
    try {
      await w.a1.call('applyPolicy', 11, { ingress: [requests(CLIENT, landing)] })
      const put = (await w.lab.run(w.client.netns, 'http', w.near.ip, String(WEB), 'PUT', '/')).reply
      await w.a1.call('applyPolicy', 10, { egress: [requests(2010, landing)] })
      await w.a2.call('applyPolicy', 10, { ingress: [{ identity: CLIENT, port: WEB, protocol: 'TCP' }] })
      await w.lab.run(w.client.netns, 'http', w.far.ip, String(WEB), 'POST', '/v1/request-landing')
      const seen = await w.a2.event({ type: 'trace', point: TRACE_POINT.toEndpoint, dstId: 10, srcIdentity: CLIENT })
      expect({ put: put?.split(' ').slice(0, 3).join(' '), across: seen === undefined ? undefined : '200 far POST' }).toEqual(wanted)
    } finally {
      await w.lab.close()
      fs.rmSync(folder, { recursive: true })
    }
  })
})
