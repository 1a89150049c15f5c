/** IPv6 of pods, over an underlay of IPv4, on this machine's kernel: datapath.integration.test.ts says how to run it. */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TRACE_POINT, TRACE_STATE } from './events.ts'
import { OUTSIDE6 } from './testing/lab.ts'
import { compile, world, type World } from './testing/world.ts'
import type { ConntrackEntry, Datapath } from './types.ts'

const isRoot = process.getuid?.() === 0
const allow = (identity: number, port = 0, protocol = 'ANY') => ({ identity, port, protocol })
const inNetns = (netns: string, ...command: string[]): string => execFileSync('ip', ['netns', 'exec', netns, ...command], { encoding: 'utf8' })

describe.skipIf(!isRoot)('IPv6', { timeout: 60_000 }, () => {
  let folder: string, w: World
  const run = (netns: string, ...args: string[]) => w.lab.run(netns, ...args)

  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lash-ipv6-'))
    w = await world(compile(folder), { six: true })
  }, 60_000)
  afterAll(async () => {
    await w.lab.close()
    fs.rmSync(folder, { recursive: true })
  }, 60_000)

  test('the verifier goes through every program, and none is too long', () => {
    const { programs } = w.a1.ready!
    process.stdout.write(`${programs.map(({ name, instructions, processed }) => `${name} ${instructions} ${processed}`).join('\n')}\n`)
    expect(programs.filter(({ instructions }) => instructions > 4096)).toEqual([])
  })

  test('a pod has its address and no other, and a route to everything by its router', () => {
    const show = (...args: string[]): string => execFileSync('ip', ['-n', w.client.netns, '-6', ...args], { encoding: 'utf8' })
    expect(show('-o', 'addr', 'show', 'dev', 'eth0').trim().split('\n')).toEqual([expect.stringContaining(`inet6 ${w.client.ip6}/128 scope global`)])
    expect(show('route')).toContain(`default via ${w.n1.config.ipv6!.router} dev eth0`)
  })

  test('pods of one node reach each other, and the monitor sees both ends', async () => {
    const seen = w.a1.events.length
    expect(await run(w.client.netns, 'ping', w.near.ip6)).toEqual({ reply: 'type 129' })
    expect(await run(w.client.netns, 'tcp', w.near.ip6, '8080')).toEqual({ reply: `near ${w.client.ip6}`, from: `[${w.near.ip6}]:8080` })
    expect(await run(w.client.netns, 'udp', w.near.ip6, '8080')).toEqual({ reply: `near ${w.client.ip6}`, from: `[${w.near.ip6}]:8080` })
    expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.fromEndpoint, source: 10, srcIdentity: 1010 }, seen)).toBeDefined()
    expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.toEndpoint, source: 11, dstId: 11, srcIdentity: 1010, dstIdentity: 1011, state: TRACE_STATE.new, ifindex: w.near.link.ifindex }, seen)).toBeDefined()
    expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.toEndpoint, source: 10, srcIdentity: 1011, dstIdentity: 1010, state: TRACE_STATE.reply }, seen)).toBeDefined()
    expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.toEndpoint, source: 11, state: TRACE_STATE.established }, seen)).toBeDefined()
    // Pods tell their multicast groups when they like, and nobody hears that.
    expect(w.a1.events.slice(seen).filter((event) => event.type === 'drop' && !String('packet' in event ? event.packet : '').startsWith('3333'))).toEqual([])
  })

  test('a pod knows its router for good: it could not ask again', () => {
    expect(execFileSync('ip', ['-n', w.client.netns, '-6', 'neigh'], { encoding: 'utf8' })).toMatch(new RegExp(`^${w.n1.config.ipv6!.router} dev eth0 lladdr \\S+ .*PERMANENT`, 'm'))
  })

  test('pods of two nodes talk through the tunnel, whose ends are IPv4, with the sender\'s identity', async () => {
    const wire = await w.lab.helper(w.n2.netns, 'sniff', 'eth1')
    expect(await run(w.client.netns, 'ping', w.far.ip6)).toEqual({ reply: 'type 129' })
    expect(await run(w.client.netns, 'tcp', w.far.ip6, '8080')).toEqual({ reply: `far ${w.client.ip6}`, from: `[${w.far.ip6}]:8080` })
    expect(await run(w.client.netns, 'big', w.far.ip6, '8080')).toMatchObject({ reply: '60005', from: `[${w.far.ip6}]:8080` })
    expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.toOverlay, source: 10, srcIdentity: 1010, dstIdentity: 2010 })).toBeDefined()
    expect(await w.a2.event({ type: 'trace', point: TRACE_POINT.fromOverlay, srcIdentity: 1010 })).toBeDefined()
    const frames = wire.lines.slice(1).map((line) => Buffer.from(line, 'hex'))
    const inner = frames.filter((frame) => frame.readUInt16BE(12) === 0x0800 && frame.readUInt8(23) === 17 && frame.readUInt16BE(36) === 8472 && frame.readUInt16BE(62) === 0x86dd)
    expect(new Set(inner.map((frame) => frame.readUIntBE(46, 3)))).toEqual(new Set([1010, 2010]))
    expect(frames.filter((frame) => frame.readUInt16BE(12) === 0x86dd && frame.toString('hex', 22, 26) === 'f00d0000')).toEqual([])
    wire.stop()
  })

  test('hosts and pods reach each other on both nodes', async () => {
    const { n1, n2, client, far } = w
    const [router1, router2] = [n1.config.ipv6!.router, n2.config.ipv6!.router]
    expect(await run(n1.netns, 'tcp', client.ip6, '8080')).toMatchObject({ reply: `client ${router1}` })
    expect(await run(n1.netns, 'tcp', far.ip6, '8080')).toMatchObject({ reply: `far ${router1}` })
    expect(await run(client.netns, 'tcp', router1, '8080')).toMatchObject({ reply: `host1 ${client.ip6}` })
    expect(await run(client.netns, 'tcp', router2, '8080')).toMatchObject({ reply: `host2 ${client.ip6}` })
    expect(await run(client.netns, 'ping', router1)).toEqual({ reply: 'type 129' })
    expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.toHost, source: 10, dstIdentity: 1 })).toBeDefined()
  })

  test('the world is reached, and reaches pods', async () => {
    expect(await run(w.client.netns, 'tcp', OUTSIDE6.ip, '8080')).toMatchObject({ reply: `outside ${w.client.ip6}` })
    expect(await run(w.outside, 'tcp', w.near.ip6, '8080')).toMatchObject({ reply: `near ${OUTSIDE6.ip}` })
    expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.toStack, source: 10, dstIdentity: 2 })).toBeDefined()
    expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.toEndpoint, source: 11, srcIdentity: 2, dstIdentity: 1011 })).toBeDefined()
  })

  describe('policy', () => {
    test('a denied packet is dropped with reason 133 and both identities, and doesn\'t arrive', async () => {
      const seen = w.a1.events.length
      await w.a1.call('setPolicy', 11, { ingress: [allow(2010)] })
      const inside = await w.lab.helper(w.near.netns, 'sniff', 'eth0')
      for (const mode of [['tcp', w.near.ip6, '8080'], ['udp', w.near.ip6, '8080'], ['ping', w.near.ip6]]) expect(await run(w.client.netns, ...mode)).toEqual({ error: 'timeout' })
      expect(await w.a1.event({ type: 'drop', reason: 133, source: 11, srcIdentity: 1010, dstIdentity: 1011, dstId: 11 }, seen)).toBeDefined()
      expect(inside.lines.slice(1)).toEqual([])
      inside.stop()
    })

    test('the allowed identity of another node, the host, and replies get through', async () => {
      expect(await run(w.far.netns, 'tcp', w.near.ip6, '8080')).toMatchObject({ reply: `near ${w.far.ip6}` })
      expect(await run(w.n1.netns, 'tcp', w.near.ip6, '8080')).toMatchObject({ reply: expect.stringMatching(/^near /) as string })
      expect(await run(w.near.netns, 'tcp', w.client.ip6, '8080')).toMatchObject({ reply: `client ${w.near.ip6}` })
    })

    test('what was allowed before is not, however the flow began', async () => {
      await w.a1.call('setPolicy', 11, {})
      expect(await run(w.client.netns, 'udp', w.near.ip6, '8080', '41000')).toMatchObject({ reply: `near ${w.client.ip6}` })
      await w.a1.call('setPolicy', 11, { ingress: [allow(2010)] })
      expect(await run(w.client.netns, 'udp', w.near.ip6, '8080', '41000')).toEqual({ error: 'timeout' })
    })

    test('ports are told apart, and ICMPv6 by its type', async () => {
      await w.a1.call('setPolicy', 11, { ingress: [allow(0, 8080, 'TCP')] })
      expect(await run(w.client.netns, 'tcp', w.near.ip6, '8080')).toMatchObject({ reply: `near ${w.client.ip6}` })
      expect(await run(w.client.netns, 'udp', w.near.ip6, '8080')).toEqual({ error: 'timeout' })
      expect(await run(w.client.netns, 'ping', w.near.ip6)).toEqual({ error: 'timeout' })
      await w.a1.call('setPolicy', 11, { ingress: [allow(1010, 128, 'ICMPv6')] })
      expect(await run(w.client.netns, 'ping', w.near.ip6)).toEqual({ reply: 'type 129' })
      expect(await run(w.client.netns, 'ping', w.near.ip)).toEqual({ error: 'timeout' })
      await w.a1.call('setPolicy', 11, {})
    })

    test('egress is denied at the sender', async () => {
      await w.a1.call('setPolicy', 10, { egress: [allow(1011, 8080, 'TCP')] })
      expect(await run(w.client.netns, 'tcp', w.near.ip6, '8080')).toMatchObject({ reply: `near ${w.client.ip6}` })
      expect(await run(w.client.netns, 'tcp', w.far.ip6, '8080')).toEqual({ error: 'timeout' })
      expect(await w.a1.event({ type: 'drop', reason: 133, source: 10, srcIdentity: 1010, dstIdentity: 2010, dstId: 0 })).toBeDefined()
      await w.a1.call('setPolicy', 10, {})
    })
  })

  describe('policy by prefixes', () => {
    const LOCAL = 65_536
    const prefixes = { 'fd09::/16': LOCAL, 'fd09:2::/32': LOCAL + 1, 'fd09:2:0:0:8000::/65': LOCAL + 2, '::/0': LOCAL + 3 }
    const named = Object.entries(prefixes).map(([prefix, identity]) => ({ prefix, identity }))
    beforeAll(async () => { for (const { prefix, identity } of named) await w.a1.call('upsertCIDR', prefix, identity) })
    afterAll(async () => { for (const { prefix } of named) await w.a1.call('deleteCIDR', prefix) })
    const reached = async (netns: string, ip: string, ...from: string[]): Promise<boolean> => (await run(netns, 'tcp', ip, '8080', '0', ...from)).reply !== undefined

    test('are listed as they are in the maps', async () => {
      expect(await w.a1.call('listCIDRs')).toEqual(expect.arrayContaining(named))
    })

    test('egress: the longest that has the address counts', async () => {
      await w.a1.call('setPolicy', 10, { egress: [allow(LOCAL), allow(LOCAL + 2)] })
      expect(await Promise.all([...OUTSIDE6.more, OUTSIDE6.ip].map((ip) => reached(w.client.netns, ip)))).toEqual([true, false, true, false])
      expect(await w.a1.event({ type: 'drop', reason: 133, source: 10, dstIdentity: LOCAL + 1 })).toBeDefined()
      expect(await w.a1.event({ type: 'drop', reason: 133, source: 10, dstIdentity: LOCAL + 3 })).toBeDefined()
      await w.a1.call('setPolicy', 10, {})
    })

    test('ingress: of who sent it, the cluster\'s own addresses excepted', async () => {
      await w.a1.call('setPolicy', 11, { ingress: [allow(LOCAL + 1, 8080, 'TCP')] })
      expect(await Promise.all(OUTSIDE6.more.map((from) => reached(w.outside, w.near.ip6, from)))).toEqual([false, true, false])
      expect(await reached(w.client.netns, w.near.ip6)).toBe(false)
      await w.a1.call('setPolicy', 11, {})
    })

    test('of more lengths than the datapath has room for are refused, and nothing is changed', async () => {
      for (let bits = 1; bits <= 12; bits++) await w.a1.call('upsertCIDR', `8000::/${bits}`, 70_000 + bits)
      const before = await w.a1.call('listCIDRs')
      await expect(w.a1.call('upsertCIDR', '8000::/20', 70_020)).rejects.toThrow('policies name IPv6 prefixes of 17 lengths')
      expect(await w.a1.call('listCIDRs')).toEqual(before)
      for (let bits = 1; bits <= 12; bits++) await w.a1.call('deleteCIDR', `8000::/${bits}`)
    })
  })

  test('an ICMPv6 error belongs to the flow that it is about, past the policy of who gets it', async () => {
    await w.a1.call('setPolicy', 10, { ingress: [] })
    expect(await run(w.client.netns, 'udp', w.near.ip6, '999')).toEqual({ error: 'recvmsg ECONNREFUSED' })
    expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.toEndpoint, source: 10, state: TRACE_STATE.related, srcIdentity: 1011 })).toBeDefined()
    await w.a1.call('setPolicy', 10, {})
  })

  test('what isn\'t there, fragments, and packets in another\'s name are dropped as that', async () => {
    expect(await run(w.client.netns, 'tcp', 'f00d::af4:100:0:c8', '80')).toEqual({ error: 'timeout' })
    expect(await w.a1.event({ type: 'drop', reason: 150, source: 10 })).toBeDefined()
    const seen = w.a1.events.length
    expect(await run(w.client.netns, 'bigudp', w.near.ip6, '8080')).toEqual({ error: 'timeout' })
    expect(await w.a1.event({ type: 'drop', reason: 157, source: 10 }, seen)).toBeDefined()
    execFileSync('ip', ['-n', w.client.netns, 'addr', 'add', 'f00d::af4:100:0:63/128', 'dev', 'eth0', 'nodad'])
    expect(await run(w.client.netns, 'tcp', w.near.ip6, '8080', '0', 'f00d::af4:100:0:63')).toEqual({ error: 'timeout' })
    expect(await w.a1.event({ type: 'drop', reason: 132, source: 10 }, seen)).toBeDefined()
    execFileSync('ip', ['-n', w.client.netns, 'addr', 'del', 'f00d::af4:100:0:63/128', 'dev', 'eth0'])
  })

  test('maps are listed, IPv6 beside IPv4', async () => {
    await run(w.client.netns, 'ping', w.near.ip6)
    expect(await w.a1.call<ConntrackEntry[]>('listConntrack')).toContainEqual(expect.objectContaining({ direction: 'IN', protocol: 58, src: w.client.ip6, dst: w.near.ip6, srcPort: 0, dstPort: 0, sourceIdentity: 1010 }))
    expect(await w.a1.call('listTunnels')).toEqual([{ prefix: '10.244.2.0/24', node: '192.168.77.12' }, { prefix: 'f00d::af4:200:0:0/96', node: '192.168.77.12' }])
    expect(await w.a1.call('listIPCache')).toContainEqual({ ip: w.far.ip6, identity: 2010, node: '192.168.77.12' })
    const endpoints = await w.a1.call<ReturnType<Datapath['listEndpoints']>>('listEndpoints')
    for (const ip of [w.client.ip, w.client.ip6]) expect(endpoints).toContainEqual({ ip, id: 10, ifindex: w.client.link.ifindex, mac: w.client.link.mac, nodeMac: w.client.link.nodeMac, identity: 1010 })
    expect(endpoints).toContainEqual(expect.objectContaining({ ip: w.n1.config.ipv6!.router, id: 0 }))
  })

  test('traffic and policy go on without the agent, and under the next', async () => {
    await w.a1.call('setPolicy', 11, { ingress: [allow(1010)] })
    await w.a1.stop()
    expect(await run(w.client.netns, 'tcp', w.near.ip6, '8080')).toMatchObject({ reply: `near ${w.client.ip6}` })
    expect(await run(w.far.netns, 'tcp', w.near.ip6, '8080')).toEqual({ error: 'timeout' })
    w.a1 = await w.n1.start()
    for (const { id, ip, ip6, identity } of [w.client, w.near]) expect(await w.a1.call('adoptEndpoint', { id, hostInterface: `lxc${id}`, ipv4: ip, ipv6: ip6, identity })).not.toBeNull()
    expect(await run(w.client.netns, 'tcp', w.near.ip6, '8080')).toMatchObject({ reply: `near ${w.client.ip6}` })
    expect(await run(w.far.netns, 'tcp', w.near.ip6, '8080')).toEqual({ error: 'timeout' })
  })

  test('a removed endpoint\'s address and flows are forgotten, and uninstalling leaves nothing', async () => {
    await w.a1.call('removeEndpoint', 10)
    expect((await w.a1.call<ReturnType<Datapath['listEndpoints']>>('listEndpoints')).map(({ ip }) => ip)).not.toContain(w.client.ip6)
    expect((await w.a1.call<ConntrackEntry[]>('listConntrack')).filter(({ src, dst }) => [src, dst].includes(w.client.ip6))).toEqual([])
    await w.a1.call('uninstall')
    expect(inNetns(w.n1.netns, 'ip', '-6', 'route', 'show', 'root', 'f00d::/16').trim()).toBe('')
    expect(fs.readdirSync(w.n1.config.bpffs).filter((name) => !name.endsWith('.debug'))).toEqual([])
  })
})

describe.skipIf(!isRoot)('seeded faults of IPv6', { timeout: 240_000 }, () => {
  let folder: string
  beforeAll(() => { folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lash-ipv6-faults-')) })
  afterAll(() => fs.rmSync(folder, { recursive: true }))

  /** What the outside sees: of IPv6, and of IPv4, which no such fault may touch. */
  async function symptoms({ lab, a1, a2, client, near, far }: World): Promise<Record<string, unknown>> {
    const reaches = async (from: typeof client, ip: string): Promise<boolean> => (await lab.run(from.netns, 'tcp', ip, '8080')).reply !== undefined
    const both = async (to: typeof client): Promise<{ six: boolean; four: boolean }> => {
      const [six, four] = await Promise.all([to.ip6, to.ip].map((ip) => reaches(client, ip)))
      return { six: six!, four: four! }
    }
    /** By ether type, as packets that end an earlier connection may come later. */
    const vnis = async (etherType: string): Promise<number | undefined> => {
      for (let waited = 0; waited < 2000; waited += 20) {
        const found = a2.events.find((event) => event.type === 'trace' && event.point === TRACE_POINT.fromOverlay && String(event.packet).slice(24, 28) === etherType)
        if (found?.type === 'trace') return found.srcIdentity
        await sleep(20)
      }
      return undefined
    }
    const under = async (id: number, policy: object): Promise<{ six: boolean; four: boolean }> => {
      await a1.call('setPolicy', id, policy)
      const seen = await both(near)
      await a1.call('setPolicy', id, {})
      return seen
    }
    const overlay = await both(far)
    /** How many backends answer one client, of two. */
    const answering = async (id: number, six: string, four: string, affinity?: number): Promise<{ six: number; four: number }> => {
      const count = async (ip: string, number: number, backends: string[]): Promise<number> => {
        await a1.call('upsertService', { id: number, frontend: { ip, port: 80, protocol: 'TCP' }, backends: backends.map((backend) => ({ ip: backend, port: 8080 })), ...(affinity === undefined ? {} : { affinity }) })
        return new Set((await Promise.all(Array.from({ length: 10 }, () => lab.run(client.netns, 'tcp', ip, '80')))).flatMap(({ reply }) => reply?.split(' ')[0] ?? [])).size
      }
      return { six: await count(six, id, [near.ip6, far.ip6]), four: await count(four, id + 1, [near.ip, far.ip]) }
    }
    const backends = await answering(1, 'fd96::10', '10.96.0.10'), affine = await answering(3, 'fd96::11', '10.96.0.11', 600)
    const vni = { six: await vnis('86dd'), four: await vnis('0800') }
    return { overlay, backends, affine, vni, replied: await under(10, { ingress: [] }), egress: await under(10, { egress: [] }), ingress: await under(11, { ingress: [] }) }
  }

  const alike = <T>(value: T): { six: T; four: T } => ({ six: value, four: value })
  const healthy = { overlay: alike(true), backends: alike(2), affine: alike(1), vni: alike(1010), replied: alike(true), egress: alike(false), ingress: alike(false) }
  test.each([
    ['none', {}],
    ['IPV6_POLICY_FORGETS_DROP', { ingress: { six: true, four: false } }],
    ['IPV6_EGRESS_NOT_ENFORCED', { egress: { six: true, four: false } }],
    ['IPV6_REPLIES_DENIED', { replied: { six: false, four: true } }],
    ['IPV6_WRONG_VNI', { vni: { six: 1011, four: 1010 } }],
    ['IPV6_NO_REVERSE_NAT', { backends: { six: 0, four: 2 }, affine: { six: 0, four: 1 } }],
    ['IPV6_SERVICE_ONE_BACKEND', { backends: { six: 1, four: 2 } }],
    ['IPV6_FORGETS_AFFINITY', { affine: { six: 2, four: 1 } }],
  ])('%s changes what it says and nothing else', async (fault, changes) => {
    const w = await world(compile(folder, fault === 'none' ? undefined : fault), { six: true })
    try {
      expect(await symptoms(w)).toEqual({ ...healthy, ...changes })
    } finally {
      await w.lab.close()
    }
  })
})
