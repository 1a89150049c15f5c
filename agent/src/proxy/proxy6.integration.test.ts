/** Redirects of IPv6 to the proxy on this machine's kernel: proxy.integration.test.ts says how to run it. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TRACE_POINT } from '../datapath/events.ts'
import { OUTSIDE6, type Answer } from '../datapath/testing/lab.ts'
import { compile, serveWeb, world, type World } from '../datapath/testing/world.ts'
import type { ConntrackEntry } from '../datapath/types.ts'
import type { Allow } from '../policy/allow.ts'
import type { HTTPRule } from '../policy/rule.ts'

const WEB = 8000
const DENIED = { reply: '403 Access denied' }
const landing: HTTPRule = { method: 'POST', path: '/v1/request-landing' }
const requests = (identity: number, ...http: HTTPRule[]): Allow => ({ identity, port: WEB, protocol: 'TCP', http })
const put = '/v1/exhaust-port', post = '/v1/request-landing'

/** Pods, the machine outside and the first host serve the web too. */
async function webWorld(objectFile: string): Promise<World> {
  const w = await world(objectFile, { six: true })
  try {
    await serveWeb(w, WEB)
    return w
  } catch (error) {
    await w.lab.close()
    throw error
  }
}

describe.skipIf(process.getuid?.() !== 0)('requests by IPv6', { timeout: 120_000 }, () => {
  let folder: string, w: World
  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lash-l7-six-'))
    w = await webWorld(compile(folder))
  }, 240_000)
  afterAll(async () => {
    await w.lab.close()
    fs.rmSync(folder, { recursive: true })
  }, 120_000)

  const ask = (netns: string, ip: string, method: string, url: string, port = WEB, from = 0): Promise<Answer> => w.lab.run(netns, 'http', ip, String(port), method, url, String(from))
  const passes = (name: string) => ({ reply: expect.stringMatching(new RegExp(`^200 ${name} POST`)) as string })

  describe('by the receiver\'s policy', () => {
    beforeAll(() => w.a1.call('applyPolicy', 11, { ingress: [requests(1010, landing), requests(2010, landing)] }))
    afterAll(() => w.a1.call('applyPolicy', 11, {}))

    test('those that a rule matches pass, all others are denied; of both families', async () => {
      const seen = w.a1.events.length
      expect(await ask(w.client.netns, w.near.ip6, 'POST', post)).toEqual({ reply: `200 near POST ${post} [${w.near.ip6}]:${WEB} 100000 from ${w.n1.config.ipv6!.router}` })
      expect(await ask(w.client.netns, w.near.ip6, 'PUT', put)).toEqual(DENIED)
      expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.toProxy, source: 11, srcIdentity: 1010, dstIdentity: 1011 }, seen)).toBeDefined()
      expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.fromProxy, source: 11, srcIdentity: 1011 }, seen)).toBeDefined()
      expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.toEndpoint, dstId: 11, srcIdentity: 1010 }, seen)).toBeDefined()
      expect(await w.a1.event({ type: 'l7', verdict: 'Denied' }, seen)).toMatchObject({
        record: { type: 'Request', observationPoint: 'Ingress', source: { id: 10, identity: 1010 }, destination: { id: 11, identity: 1011 }, http: { method: 'PUT', path: put, code: 403 } },
      })
      expect(await ask(w.client.netns, w.near.ip, 'POST', post)).toMatchObject(passes('near'))
      expect(await ask(w.client.netns, w.near.ip, 'PUT', put)).toEqual(DENIED)
    })

    test('of another node too, by the identity that came with them; the host is not asked', async () => {
      expect(await ask(w.far.netns, w.near.ip6, 'POST', post)).toMatchObject(passes('near'))
      expect(await ask(w.far.netns, w.near.ip6, 'PUT', put)).toEqual(DENIED)
      expect(await ask(w.n2.netns, w.near.ip6, 'PUT', put)).toMatchObject({ reply: expect.stringMatching(/^200 near PUT/) as string })
    })

    test('through a service, whose address the answers have', async () => {
      await w.a1.call('upsertService', { id: 1, frontend: { ip: 'fd96::10', port: 80, protocol: 'TCP' }, backends: [{ ip: w.near.ip6, port: WEB }] })
      expect(await ask(w.client.netns, 'fd96::10', 'POST', post, 80)).toMatchObject(passes('near'))
      expect(await ask(w.client.netns, 'fd96::10', 'PUT', put, 80)).toEqual(DENIED)
    })

    test('from the world, to the pod itself and at node ports', async () => {
      await w.a1.call('applyPolicy', 11, { ingress: [requests(2, landing)] })
      expect(await ask(w.outside, w.near.ip6, 'POST', post)).toMatchObject(passes('near'))
      expect(await ask(w.outside, w.near.ip6, 'PUT', put)).toEqual(DENIED)
      for (const [agent, { config: { ipv6 } }] of [[w.a1, w.n1], [w.a2, w.n2]] as const) {
        await agent.call('upsertService', { id: 9, frontend: { ip: ipv6!.router, port: 30080, protocol: 'TCP' }, backends: [{ ip: w.near.ip6, port: WEB }] })
        expect(await ask(w.outside, ipv6!.router, 'POST', post, 30080)).toMatchObject(passes('near'))
        expect(await ask(w.outside, ipv6!.router, 'PUT', put, 30080)).toEqual(DENIED)
      }
      expect(await ask(w.client.netns, w.near.ip6, 'POST', post)).toEqual({ error: 'timeout' })
      await w.a1.call('applyPolicy', 11, { ingress: [requests(1010, landing)] })
    })

    test('nobody comes to the proxy but by a redirect', async () => {
      const [{ proxyPort }] = await w.a1.call<[{ proxyPort: number }]>('listPolicy', 11)
      for (const ip of ['f00d::af4:100:4000:1', w.n1.config.ipv6!.router]) expect((await w.lab.run(w.client.netns, 'tcp', ip, String(proxyPort))).reply).toBeUndefined()
    })
  })

  describe('by the sender\'s policy', () => {
    afterAll(async () => { for (const id of [10, 11]) await w.a1.call('applyPolicy', id, {}); await w.a2.call('applyPolicy', 10, {}) })

    test('to a pod here, one of another node, a service, the world and this host', async () => {
      const { client, near, far, n1 } = w
      await w.a1.call('applyPolicy', 10, { egress: [1011, 2010, 1, 2].map((identity) => requests(identity, landing)) })
      for (const [ip, name] of [[near.ip6, 'near'], [far.ip6, 'far'], [OUTSIDE6.ip, 'outside'], [n1.config.ipv6!.router, 'host1']] as const) {
        expect(await ask(client.netns, ip, 'POST', post)).toMatchObject(passes(name))
        expect(await ask(client.netns, ip, 'PUT', put)).toEqual(DENIED)
      }
      expect(await w.a2.event({ type: 'trace', point: TRACE_POINT.toEndpoint, dstId: 10, srcIdentity: 1010 })).toBeDefined()
      await w.a1.call('upsertService', { id: 2, frontend: { ip: 'fd96::11', port: 80, protocol: 'TCP' }, backends: [{ ip: far.ip6, port: WEB }] })
      expect(await ask(client.netns, 'fd96::11', 'POST', post, 80)).toMatchObject(passes('far'))
      expect(await ask(client.netns, 'fd96::11', 'PUT', put, 80)).toEqual(DENIED)
    })

    test('one port of the client\'s towards several servers at a time', async () => {
      const visits = await Promise.all([w.near.ip6, w.far.ip6, OUTSIDE6.ip].map((ip) => w.lab.run(w.client.netns, 'http', ip, String(WEB), 'POST', post, '41234')))
      expect(visits.map(({ reply }) => reply?.split(' ').slice(0, 2).join(' '))).toEqual(['200 near', '200 far', '200 outside'])
    })

    test('both ends\' policies, on one node and across', async () => {
      await w.a1.call('applyPolicy', 11, { ingress: [requests(1010, { method: 'POST|GET' })] })
      await w.a2.call('applyPolicy', 10, { ingress: [requests(1010, { method: 'POST|GET' })] })
      await w.a1.call('applyPolicy', 10, { egress: [1011, 2010].map((identity) => requests(identity, { method: 'POST|PUT' })) })
      for (const [ip, name, agent] of [[w.near.ip6, 'near', w.a1], [w.far.ip6, 'far', w.a2]] as const) {
        const seen = agent.events.length
        expect(await ask(w.client.netns, ip, 'POST', post)).toMatchObject(passes(name))
        expect(await ask(w.client.netns, ip, 'PUT', put)).toEqual(DENIED)
        expect(await agent.event({ type: 'l7', observationPoint: 'Ingress', verdict: 'Denied' }, seen)).toMatchObject({ record: { source: { identity: 1010 }, http: { method: 'PUT' } } })
      }
    })
  })

  test('what is over leaves nothing behind', async () => {
    const CT_PROXY = 64
    await w.a1.call('applyPolicy', 10, { egress: [requests(1011, landing)] })
    expect(await ask(w.client.netns, w.near.ip6, 'POST', post)).toMatchObject(passes('near'))
    const flows = async () => (await w.a1.call<ConntrackEntry[]>('listConntrack')).filter(({ dst, src, flags }) => src === w.client.ip6 && dst === w.near.ip6 && (flags & CT_PROXY) !== 0)
    expect(await flows()).not.toEqual([])
    await expect.poll(async () => { await w.a1.call('collectConntrack'); return flows() }, { timeout: 40_000, interval: 1000 }).toEqual([])
    await w.a1.call('applyPolicy', 10, {})
  })
})

describe.skipIf(process.getuid?.() !== 0)('a seeded fault of IPv6\'s redirects', { timeout: 240_000 }, () => {
  test('IPV6_L7_NOT_REDIRECTED changes what it says and nothing else', async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lash-l7-six-'))
    const w = await webWorld(compile(folder, 'IPV6_L7_NOT_REDIRECTED'))
    try {
      await w.a1.call('applyPolicy', 11, { ingress: [requests(1010, landing)] })
      const ask = async (ip: string) => (await w.lab.run(w.client.netns, 'http', ip, String(WEB), 'PUT', put)).reply?.slice(0, 3)
      expect({ six: await ask(w.near.ip6), four: await ask(w.near.ip) }).toEqual({ six: '200', four: '403' })
    } finally {
      await w.lab.close()
      fs.rmSync(folder, { recursive: true })
    }
  })
})
