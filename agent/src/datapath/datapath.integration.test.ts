/**
 * The datapath on this machine's kernel: two nodes and their pods as network namespaces. Needs root, clang and iproute2.
 *
 *   npx vitest run --config agent/src/datapath/vitest.integration.config.ts
 */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseElf, type ElfObject } from './elf.ts'
import { TRACE_POINT, TRACE_STATE } from './events.ts'
import { requireFeatures } from './probe.ts'
import { OUTSIDE, type Helper, type Pod } from './testing/lab.ts'
import { compile, world, type World } from './testing/world.ts'
import type { ConntrackEntry, Datapath, ServiceSpec } from './types.ts'

const FAULTS = ['POLICY_FORGETS_DROP', 'TUNNEL_BYPASS', 'SERVICE_ONE_BACKEND', 'MONITOR_LOSES_DROPS', 'NO_REVERSE_NAT', 'WRONG_VNI', 'WRONG_DROP_REASON',
  'SWAPPED_IDENTITIES', 'SHORTEST_PREFIX_WINS', 'EGRESS_NOT_ENFORCED', 'REPLIES_DENIED', 'FORGETS_AFFINITY', 'NODEPORT_LOCAL_ONLY', 'FRAGMENTS_PASS', 'NO_RELATED']

describe.skipIf(process.getuid?.() !== 0)('datapath', { timeout: 60_000 }, () => {
  let folder: string, w: World
  const service = (id: number, ip: string, protocol: 'TCP' | 'UDP', ...backends: [ip: string, port: number][]): ServiceSpec =>
    ({ id, frontend: { ip, port: 80, protocol }, backends: backends.map(([backend, port]) => ({ ip: backend, port })) })

  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lash-integration-'))
    w = await world(compile(folder))
  }, 60_000)
  afterAll(async () => {
    await w.lab.close()
    fs.rmSync(folder, { recursive: true })
  }, 60_000)

  test('all that the kernel lacks is told, with its own answers, and this namespace is left as it was', () => {
    const object = parseElf(fs.readFileSync(path.join(folder, 'lash.o')))
    const links = execFileSync('ip', ['-br', 'link'], { encoding: 'utf8' })
    requireFeatures(object)
    const call = Buffer.from([0x85, 0, 0, 0, 0x0f, 0x27, 0, 0]) // helper 9999
    const odd: ElfObject = {
      ...object, maps: new Map([...object.maps, ['odd', { type: 999, keySize: 4, valueSize: 4, maxEntries: 1, flags: 0 }]]),
      programs: [...object.programs, { name: 'odd_program', section: 'tc/odd', instructions: call, relocations: [] }],
    }
    expect(() => requireFeatures(odd)).toThrow(/^BPF map type number 999: not supported by this kernel \(BPF_MAP_CREATE: E\w+\); needed by odd\nBPF helper number 9999: not supported by this kernel \(BPF_PROG_LOAD: EINVAL, invalid func .*9999\); needed by odd_program$/)
    expect(execFileSync('ip', ['-br', 'link'], { encoding: 'utf8' })).toBe(links)
  })

  test('a pod has its address, and a route to everything by its router', () => {
    const show = (...args: string[]): string => execFileSync('ip', ['-n', w.client.netns, ...args], { encoding: 'utf8' })
    expect(show('addr', 'show', 'eth0')).toContain(`inet ${w.client.ip}/32 scope global eth0`)
    expect(show('addr', 'show', 'eth0')).toContain('mtu 1400')
    expect(show('addr', 'show', 'eth0')).not.toContain('inet6')
    expect(show('route')).toMatch(/^default via 10\.244\.1\.1 dev eth0/)
  })

  test('pods of one node reach each other, and the monitor sees both ends', async () => {
    const seen = w.a1.events.length
    expect(await w.lab.run(w.client.netns, 'ping', w.near.ip)).toMatchObject({ reply: 'type 0', from: w.near.ip, ttl: 63 })
    expect(await w.lab.run(w.client.netns, 'tcp', w.near.ip, '8080')).toEqual({ reply: `near ${w.client.ip}`, from: `${w.near.ip}:8080` })
    expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.fromEndpoint, source: 10, srcIdentity: 1010 }, seen)).toBeDefined()
    expect(await w.a1.event({
      type: 'trace', point: TRACE_POINT.toEndpoint, source: 11, dstId: 11, srcIdentity: 1010, dstIdentity: 1011, state: TRACE_STATE.new, ifindex: w.near.link.ifindex,
    }, seen)).toBeDefined()
    expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.toEndpoint, source: 10, srcIdentity: 1011, dstIdentity: 1010, state: TRACE_STATE.reply }, seen)).toBeDefined()
    expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.toEndpoint, source: 11, state: TRACE_STATE.established }, seen)).toBeDefined()
  })

  test('pods of two nodes talk by VXLAN, its network identifier being the sender\'s identity', async () => {
    const wire = await w.lab.helper(w.n2.netns, 'sniff', 'eth1')
    expect(await w.lab.run(w.client.netns, 'tcp', w.far.ip, '8080')).toEqual({ reply: `far ${w.client.ip}`, from: `${w.far.ip}:8080` })
    expect(await w.lab.run(w.client.netns, 'big', w.far.ip, '8080')).toMatchObject({ from: `${w.far.ip}:8080` })
    expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.toOverlay, source: 10, srcIdentity: 1010, dstIdentity: 2010 })).toBeDefined()
    expect(await w.a2.event({ type: 'trace', point: TRACE_POINT.fromOverlay, srcIdentity: 1010 })).toBeDefined()
    const frames = wire.lines.slice(1).map((line) => Buffer.from(line, 'hex')).filter((frame) => frame.readUInt16BE(12) === 0x0800)
    const vxlan = frames.filter((frame) => frame.readUInt8(23) === 17 && frame.readUInt16BE(36) === 8472)
    expect(new Set(vxlan.map((frame) => frame.readUIntBE(46, 3)))).toEqual(new Set([1010, 2010]))
    expect(frames.filter((frame) => [...frame.subarray(26, 30)].join('.') === w.client.ip)).toEqual([])
    wire.stop()
  })

  test('hosts and pods reach each other on both nodes', async () => {
    const { n1, n2, client, far } = w
    expect(await w.lab.run(n1.netns, 'tcp', client.ip, '8080')).toMatchObject({ reply: `client ${n1.config.routerIPv4}` })
    expect(await w.lab.run(n1.netns, 'tcp', far.ip, '8080')).toMatchObject({ reply: `far ${n1.config.routerIPv4}` })
    expect(await w.lab.run(client.netns, 'tcp', n1.config.nodeIPv4, '8080')).toMatchObject({ reply: `host1 ${client.ip}` })
    expect(await w.lab.run(client.netns, 'tcp', n2.config.nodeIPv4, '8080')).toMatchObject({ reply: `host2 ${client.ip}` })
    expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.fromHost, srcIdentity: 1 })).toBeDefined()
    expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.toHost, source: 10, dstIdentity: 1 })).toBeDefined()
  })

  describe.each(['TCP', 'UDP'] as const)('a %s service with two backends', (protocol) => {
    const vip = protocol === 'TCP' ? '10.96.0.10' : '10.96.0.11', mode = protocol.toLowerCase()
    beforeAll(() => w.a1.call('upsertService', service(protocol === 'TCP' ? 1 : 2, vip, protocol, [w.near.ip, 8080], [w.far.ip, 8080])))

    test.each(['pod', 'host'])('reaches both from a %s, each answering as the service', async (from) => {
      const netns = from === 'pod' ? w.client.netns : w.n1.netns
      const answers = await Promise.all(Array.from({ length: 12 }, () => w.lab.run(netns, mode, vip, '80')))
      expect(new Set(answers.map(({ from: address }) => address))).toEqual(new Set([`${vip}:80`]))
      expect(new Set(answers.map(({ reply }) => reply?.split(' ')[0]))).toEqual(new Set(['near', 'far']))
    })

    test('keeps a flow at its backend while that exists, wherever its slot is, and no longer', async () => {
      const ask = async (): Promise<string | undefined> => (await w.lab.run(w.client.netns, 'udp', vip, '80', '40000')).reply?.split(' ')[0]
      if (protocol === 'TCP') return
      const first = await ask()
      const [kept, other] = first === 'near' ? [w.near, w.far] : [w.far, w.near]
      await w.a1.call('upsertService', service(2, vip, 'UDP', [other.ip, 8080], [kept.ip, 8080], [other.ip, 8080], [other.ip, 8080]))
      for (let i = 0; i < 4; i++) expect(await ask()).toBe(first)
      await w.a1.call('upsertService', service(2, vip, 'UDP', [other.ip, 8080]))
      expect(await ask()).not.toBe(first)
    })
  })

  test('a service is listed as the maps have it, and gone when deleted', async () => {
    const spec = service(9, '10.96.0.99', 'TCP', [w.near.ip, 1], [w.far.ip, 2])
    await w.a1.call('upsertService', spec)
    expect((await w.a1.call<ServiceSpec[]>('listServices')).find(({ id }) => id === 9)).toEqual(spec)
    await w.a1.call('upsertService', { ...spec, backends: spec.backends.slice(1) })
    expect((await w.a1.call<ServiceSpec[]>('listServices')).find(({ id }) => id === 9)?.backends).toEqual(spec.backends.slice(1))
    await w.a1.call('deleteService', spec.frontend)
    expect((await w.a1.call<ServiceSpec[]>('listServices')).find(({ id }) => id === 9)).toBeUndefined()
  })

  test('a new service that doesn\'t fit leaves nothing, so that others do', async () => {
    const large = (id: number, count: number): ServiceSpec => ({ ...service(id, `10.96.1.${id}`, 'TCP'), backends: Array.from({ length: count }, (_, i) => ({ ip: `10.250.${i >> 8}.${i & 255}`, port: 80, weight: 100 })) })
    const listed = (id: number) => w.a1.call<ServiceSpec[]>('listServices').then((services) => services.find((it) => it.id === id))
    const [first, second, third] = [large(50, 600), large(51, 100), large(52, 50)] as const
    await w.a1.call('upsertService', first)
    await expect(w.a1.call('upsertService', second)).rejects.toThrow('updating map cilium_lb4_services: E2BIG; it is full (65536 entries)')
    expect(await listed(51)).toBeUndefined()
    await expect(w.a1.call('upsertService', large(53, 656))).rejects.toThrow('service 10.96.1.53:80 has 65600 backends, each counted as often as it weighs; 65535 are possible: give it fewer, or smaller weights')
    await w.a1.call('upsertService', third)
    expect(await listed(52)).toEqual(third)
    for (const { frontend } of [first, third]) await w.a1.call('deleteService', frontend)
  })

  test('a service\'s number may go to another frontend, which is served when the first has gone', async () => {
    const [before, after] = ['10.96.0.60', '10.96.0.61'].map((ip) => service(60, ip, 'TCP', [w.near.ip, 8080])) as [ServiceSpec, ServiceSpec]
    await w.a1.call('upsertService', before)
    await w.a1.call('upsertService', after)
    await w.a1.call('deleteService', before.frontend)
    expect(await w.lab.run(w.client.netns, 'tcp', '10.96.0.61', '80')).toEqual({ reply: `near ${w.client.ip}`, from: '10.96.0.61:80' })
    await w.a1.call('deleteService', after.frontend)
  })

  test('a service without backends drops as that', async () => {
    await w.a1.call('upsertService', service(3, '10.96.0.12', 'TCP'))
    expect(await w.lab.run(w.client.netns, 'tcp', '10.96.0.12', '80')).toEqual({ error: 'timeout' })
    expect(await w.a1.event({ type: 'drop', reason: 158, source: 10, srcIdentity: 1010 })).toBeDefined()
  })

  test('a backend on the host\'s loopback serves pods, and the host itself', async () => {
    await w.a1.call('upsertService', service(4, '10.96.0.1', 'TCP', ['172.31.255.1', 8080]))
    expect(await w.lab.run(w.client.netns, 'tcp', '10.96.0.1', '80')).toEqual({ reply: `host1 ${w.client.ip}`, from: '10.96.0.1:80' })
    expect(await w.lab.run(w.n1.netns, 'tcp', '10.96.0.1', '80')).toEqual({ reply: 'host1 169.254.42.1', from: '10.96.0.1:80' })
  })

  test('a pod reaches itself through its own service', async () => {
    await w.a1.call('upsertService', service(5, '10.96.0.13', 'TCP', [w.client.ip, 8080]))
    await w.a1.call('setPolicy', 10, { ingress: [], egress: [] })
    expect(await w.lab.run(w.client.netns, 'tcp', '10.96.0.13', '80')).toEqual({ reply: 'client 169.254.42.1', from: '10.96.0.13:80' })
    await w.a1.call('setPolicy', 10, {})
  })

  test('who sends from the address that it then sees is not the pod itself', async () => {
    execFileSync('ip', ['-n', w.outside, 'addr', 'add', '169.254.42.1/32', 'dev', 'lo'])
    await w.a1.call('setPolicy', 11, { ingress: [] })
    const seen = w.a1.events.length
    await w.lab.run(w.outside, 'udp', w.near.ip, '8080', '0', '169.254.42.1')
    expect(await w.a1.event({ type: 'drop', reason: 133, source: 11, srcIdentity: 2 }, seen)).toBeDefined()
    await w.a1.call('setPolicy', 11, {})
    execFileSync('ip', ['-n', w.outside, 'addr', 'del', '169.254.42.1/32', 'dev', 'lo'])
  })

  test('an ICMP error finds its flow, through a service too', async () => {
    await w.a1.call('upsertService', service(6, '10.96.0.14', 'UDP', [w.near.ip, 999]))
    await w.a1.call('setPolicy', 10, { ingress: [] })
    for (const [ip, port] of [[w.near.ip, '999'], ['10.96.0.14', '80']] as const)
      expect(await w.lab.run(w.client.netns, 'udp', ip, port)).toEqual({ error: 'recvmsg ECONNREFUSED' })
    expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.toEndpoint, source: 10, state: TRACE_STATE.related })).toBeDefined()
    await w.a1.call('setPolicy', 10, {})
  })

  describe('policy', () => {
    test('a denied packet is dropped with reason 133 and both identities, and doesn\'t arrive', async () => {
      const seen = w.a1.events.length
      await w.a1.call('setPolicy', 11, { ingress: [{ identity: 2010, port: 0, protocol: 'ANY' }] })
      const inside = await w.lab.helper(w.near.netns, 'sniff', 'eth0')
      expect(await w.lab.run(w.client.netns, 'tcp', w.near.ip, '8080')).toEqual({ error: 'timeout' })
      expect(await w.a1.event({ type: 'drop', reason: 133, source: 11, srcIdentity: 1010, dstIdentity: 1011, dstId: 11 }, seen)).toBeDefined()
      expect(inside.lines.slice(1)).toEqual([])
      inside.stop()
    })

    test('what was allowed before is not, however the flow began', async () => {
      await w.a1.call('setPolicy', 11, {})
      expect(await w.lab.run(w.client.netns, 'udp', w.near.ip, '8080', '41000')).toMatchObject({ reply: `near ${w.client.ip}` })
      expect(await w.lab.run(w.client.netns, 'ping', w.near.ip)).toMatchObject({ reply: 'type 0' })
      await w.a1.call('setPolicy', 11, { ingress: [{ identity: 2010, port: 0, protocol: 'ANY' }] })
      expect(await w.lab.run(w.client.netns, 'udp', w.near.ip, '8080', '41000')).toEqual({ error: 'timeout' })
      expect(await w.lab.run(w.client.netns, 'ping', w.near.ip)).toEqual({ error: 'timeout' })
    })

    test('the allowed identity of another node, the host, and replies get through', async () => {
      expect(await w.lab.run(w.far.netns, 'tcp', w.near.ip, '8080')).toMatchObject({ reply: `near ${w.far.ip}` })
      expect(await w.lab.run(w.n1.netns, 'tcp', w.near.ip, '8080')).toMatchObject({ reply: `near ${w.n1.config.routerIPv4}` })
      expect(await w.lab.run(w.near.netns, 'tcp', w.client.ip, '8080')).toMatchObject({ reply: `client ${w.near.ip}` })
      const [entry] = await w.a1.call<ReturnType<Datapath['listPolicy']>>('listPolicy', 11)
      expect(entry).toMatchObject({ direction: 'ingress', identity: 2010, port: 0, protocol: 'ANY' })
      expect(entry!.packets).toBeGreaterThan(0)
    })

    test('ports are told apart, by any identity', async () => {
      await w.a1.call('setPolicy', 11, { ingress: [{ identity: 0, port: 8080, protocol: 'TCP' }] })
      expect(await w.lab.run(w.client.netns, 'tcp', w.near.ip, '8080')).toMatchObject({ reply: `near ${w.client.ip}` })
      expect(await w.lab.run(w.client.netns, 'udp', w.near.ip, '8080')).toEqual({ error: 'timeout' })
      await w.a1.call('setPolicy', 11, {})
    })

    test('of a map that is full: what doesn\'t fit is denied, what is revoked is, enforcement is on, and how much that is is told', { timeout: 120_000 }, async () => {
      const [room] = [parseElf(fs.readFileSync(path.join(folder, 'lash.o'))).maps.get('cilium_policy')!.maxEntries]
      const anyOf = (...identities: number[]) => identities.map((identity) => ({ identity, port: 0, protocol: 'ANY' }))
      const filling = anyOf(...Array.from({ length: room - 2 }, (_, i) => 100_000 + i))
      const reply = (from: Pod, to: Pod) => w.lab.run(from.netns, 'tcp', to.ip, '8080').then((answer) => answer.reply ?? answer.error)
      await w.a1.call('setPolicy', 11, { ingress: anyOf(1010, 2010) })
      await w.a1.call('setPolicy', 10, { ingress: filling })
      expect(await reply(w.client, w.near)).toBe(`near ${w.client.ip}`)
      await expect(w.a1.call('setPolicy', 11, { ingress: anyOf(2010, 3001, 3002, 3003, 3004) })).rejects.toThrow(
        `3 of the 5 entries of its ingress policy don't fit, and are denied (updating map cilium_policy: E2BIG; it is full (${room} entries)): have policies name fewer peers or ports, or fewer pods on this node`)
      expect((await w.a1.call<ReturnType<Datapath['listPolicy']>>('listPolicy', 11)).map(({ identity }) => identity).sort()).toEqual([2010, 3001])
      expect([await reply(w.client, w.near), await reply(w.far, w.near)]).toEqual(['timeout', `near ${w.far.ip}`])
      await expect(w.a1.call('setPolicy', 10, { ingress: filling, egress: anyOf(1011) })).rejects.toThrow('1 of the 1 entries of its egress policy')
      expect(await reply(w.client, w.far)).toBe('timeout')
      await w.a1.call('setPolicy', 10, {})
      await w.a1.call('setPolicy', 11, { ingress: anyOf(2010, 1010) })
      expect([await reply(w.client, w.near), await reply(w.client, w.far)]).toEqual([`near ${w.client.ip}`, `far ${w.client.ip}`])
      await w.a1.call('setPolicy', 11, {})
    })

    test('egress is denied at the sender', async () => {
      await w.a1.call('setPolicy', 10, { egress: [{ identity: 1011, port: 8080, protocol: 'ANY' }] })
      expect(await w.lab.run(w.client.netns, 'tcp', w.near.ip, '8080')).toMatchObject({ reply: `near ${w.client.ip}` })
      expect(await w.lab.run(w.client.netns, 'tcp', w.far.ip, '8080')).toEqual({ error: 'timeout' })
      expect(await w.a1.event({ type: 'drop', reason: 133, source: 10, srcIdentity: 1010, dstIdentity: 2010, dstId: 0 })).toBeDefined()
      await w.a1.call('setPolicy', 10, {})
    })
  })

  describe('policy by prefixes', () => {
    const LOCAL = 65_536
    const prefixes = { '10.9.0.0/16': LOCAL, '10.9.2.0/24': LOCAL + 1, '10.9.2.128/25': LOCAL + 2 }
    beforeAll(async () => { for (const [prefix, identity] of Object.entries(prefixes)) await w.a1.call('upsertCIDR', prefix, identity) })
    afterAll(async () => {
      await w.a1.call('setPolicy', 10, {})
      await w.a1.call('setPolicy', 11, {})
      for (const prefix of Object.keys(prefixes)) await w.a1.call('deleteCIDR', prefix)
    })
    const reached = async (netns: string, ip: string, address?: string): Promise<boolean> => (await w.lab.run(netns, 'tcp', ip, '8080', '0', ...(address === undefined ? [] : [address]))).reply !== undefined

    test('are listed as they are in the maps', async () => {
      expect(await w.a1.call('listCIDRs')).toEqual(expect.arrayContaining(Object.entries(prefixes).map(([prefix, identity]) => ({ prefix, identity }))))
    })

    test('egress: the longest that has the address counts, and the world is what is in none', async () => {
      await w.a1.call('setPolicy', 10, { egress: [LOCAL, LOCAL + 2].map((identity) => ({ identity, port: 0, protocol: 'ANY' })) })
      expect(await Promise.all([...OUTSIDE.more, OUTSIDE.ip].map((ip) => reached(w.client.netns, ip)))).toEqual([true, false, true, false])
      expect(await w.a1.event({ type: 'drop', reason: 133, source: 10, dstIdentity: LOCAL + 1 })).toBeDefined()
      expect(await w.a1.event({ type: 'drop', reason: 133, source: 10, dstIdentity: 2 })).toBeDefined()
      await w.a1.call('deleteCIDR', '10.9.2.0/24')
      expect(await reached(w.client.netns, '10.9.2.1')).toBe(true)
      await w.a1.call('upsertCIDR', '10.9.2.0/24', LOCAL + 1)
      await w.a1.call('setPolicy', 10, {})
    })

    test('ingress: of who sent it, the cluster\'s own addresses excepted', async () => {
      await w.a1.call('setPolicy', 11, { ingress: [{ identity: LOCAL + 1, port: 8080, protocol: 'TCP' }] })
      expect(await Promise.all(OUTSIDE.more.map((from) => reached(w.outside, w.near.ip, from)))).toEqual([false, true, false])
      expect(await w.a1.event({ type: 'drop', reason: 133, source: 11, srcIdentity: LOCAL })).toBeDefined()
      expect(await reached(w.client.netns, w.near.ip)).toBe(false)
      await w.a1.call('setPolicy', 11, {})
    })

    test('ICMP is told by its type', async () => {
      await w.a1.call('setPolicy', 11, { ingress: [{ identity: 1010, port: 13, protocol: 'ICMP' }] })
      expect(await w.lab.run(w.client.netns, 'ping', w.near.ip)).toEqual({ error: 'timeout' })
      await w.a1.call('setPolicy', 11, { ingress: [{ identity: 1010, port: 8, protocol: 'ICMP' }] })
      expect(await w.lab.run(w.client.netns, 'ping', w.near.ip)).toMatchObject({ reply: 'type 0' })
    })

    test('an update keeps what both allow, all the while', async () => {
      const both = { identity: 1010, port: 8080, protocol: 'TCP' }
      await w.a1.call('setPolicy', 11, { ingress: [both] })
      const stream = await w.lab.helper(w.client.netns, 'stream', w.near.ip, '8080')
      const drops = (): number => w.a1.events.filter((event) => event.type === 'drop' && event.source === 11).length
      const before = drops()
      for (let i = 0; i < 40; i++) await w.a1.call('setPolicy', 11, { ingress: [both, { identity: 2000 + i, port: i + 1, protocol: 'UDP' }] })
      await w.a1.call('setPolicy', 11, {})
      await w.a1.call('setPolicy', 11, { ingress: [both] })
      const lines = stream.lines.length
      expect((await w.lab.run(w.client.netns, 'tcp', w.near.ip, '8080')).reply).toBeDefined()
      await expect.poll(() => stream.lines.length).toBeGreaterThan(lines)
      expect(drops()).toBe(before)
      stream.stop()
    })
  })

  describe('a service at the nodes\' own addresses', () => {
    const port = 30080
    beforeAll(async () => {
      for (const agent of [w.a1, w.a2]) {
        for (const [i, node] of [w.n1, w.n2].entries()) {
          const frontend = { ip: node.config.nodeIPv4, port, protocol: 'TCP' as const }
          await agent.call('upsertService', { id: 30 + i, frontend, backends: [w.near, w.far].map(({ ip }) => ({ ip, port: 8080 })) } satisfies ServiceSpec)
        }
      }
      // As the control plane has it on every node.
      await w.a1.call('upsertIPCache', w.n2.config.nodeIPv4, { identity: 1 })
      await w.a2.call('upsertIPCache', w.n1.config.nodeIPv4, { identity: 1 })
    })

    test.each(['n1', 'n2'] as const)('is answered at %s by the backends of both nodes, to pods, hosts and the world', async (at) => {
      const { lab, n1, n2, client, far, outside } = w
      for (const [who, netns] of Object.entries({ outside, host1: n1.netns, host2: n2.netns, client: client.netns, far: far.netns })) {
        const answers = await Promise.all(Array.from({ length: 10 }, () => lab.run(netns, 'tcp', w[at].config.nodeIPv4, String(port))))
        expect(answers.map(({ from, error }) => error ?? from), who).toEqual(answers.map(() => `${w[at].config.nodeIPv4}:${port}`))
        expect(new Set(answers.map(({ reply }) => reply?.split(' ')[0])), who).toEqual(new Set(['near', 'far']))
      }
    })

    test('keeps the client\'s address, by which policy tells it', async () => {
      const { lab, n1, outside, far } = w
      await w.a2.call('upsertCIDR', '10.9.2.0/24', 65_600)
      await w.a2.call('setPolicy', 10, { ingress: [{ identity: 65_600, port: 0, protocol: 'ANY' }] })
      await w.a1.call('upsertService', { id: 30, frontend: { ip: n1.config.nodeIPv4, port, protocol: 'TCP' }, backends: [{ ip: far.ip, port: 8080 }] })
      const ask = (address: string) => lab.run(outside, 'tcp', n1.config.nodeIPv4, String(port), '0', address)
      expect(await ask('10.9.2.1')).toEqual({ reply: 'far 10.9.2.1', from: `${n1.config.nodeIPv4}:${port}` })
      expect(await ask('10.9.1.1')).toEqual({ error: 'timeout' })
      expect(await w.a2.event({ type: 'drop', reason: 133, source: 10, srcIdentity: 2 })).toBeDefined()
      await w.a2.call('setPolicy', 10, {})
      await w.a2.call('deleteCIDR', '10.9.2.0/24')
    })

    test('leaves the host\'s own ports alone', async () => {
      expect(await w.lab.run(w.outside, 'tcp', w.n1.config.nodeIPv4, '8080')).toMatchObject({ reply: `host1 ${OUTSIDE.ip}` })
      expect(await w.lab.run(w.outside, 'bigudp', w.n1.config.nodeIPv4, '8080')).toMatchObject({ reply: `host1 ${OUTSIDE.ip}` })
    })
  })

  test('a service with affinity sends a client to one backend, others to theirs, and forgets with time', async () => {
    const spec = { ...service(40, '10.96.0.40', 'TCP', [w.near.ip, 8080], [w.far.ip, 8080]), affinity: 2 }
    await w.a1.call('upsertService', spec)
    expect((await w.a1.call<ServiceSpec[]>('listServices')).find(({ id }) => id === 40)).toEqual(spec)
    const ask = async (netns: string): Promise<string | undefined> => (await w.lab.run(netns, 'tcp', '10.96.0.40', '80')).reply?.split(' ')[0]
    const first = await ask(w.client.netns)
    expect(['near', 'far']).toContain(first)
    for (let i = 0; i < 7; i++) expect(await ask(w.client.netns)).toBe(first)
    const gone = first === 'near' ? w.near : w.far
    const other = first === 'near' ? w.far : w.near
    await w.a1.call('upsertService', { ...spec, backends: [{ ip: other.ip, port: 8080 }] })
    expect(await ask(w.client.netns)).toBe(first === 'near' ? 'far' : 'near')
    await w.a1.call('upsertService', spec)
    expect(gone.ip).not.toBe(other.ip)
    // Past its time a client is anybody again: of twelve that wait, not all come to one.
    const seen = new Set<string | undefined>()
    await expect.poll(async () => { await new Promise((resolve) => setTimeout(resolve, 3100)); seen.add(await ask(w.client.netns)); return seen.size }, { timeout: 45_000, interval: 0 }).toBe(2)
    await w.a1.call('deleteService', spec.frontend)
  })

  test('a backend\'s weight is its share', async () => {
    const spec = { id: 41, frontend: { ip: '10.96.0.41', port: 80, protocol: 'UDP' as const }, backends: [{ ip: w.near.ip, port: 8080, weight: 3 }, { ip: w.far.ip, port: 8080 }] }
    await w.a1.call('upsertService', spec)
    expect((await w.a1.call<ServiceSpec[]>('listServices')).find(({ id }) => id === 41)).toEqual(spec)
    await w.a1.call('deleteService', spec.frontend)
    expect((await w.a1.call<ServiceSpec[]>('listServices')).find(({ id }) => id === 41)).toBeUndefined()
  })

  test('a connection outlives its backend\'s place in the service; new ones go elsewhere', async () => {
    await w.a1.call('upsertService', service(42, '10.96.0.42', 'TCP', [w.near.ip, 8080]))
    const stream = await w.lab.helper(w.client.netns, 'stream', '10.96.0.42', '80')
    await w.a1.call('upsertService', service(42, '10.96.0.42', 'TCP', [w.far.ip, 8080]))
    const lines = stream.lines.length
    await expect.poll(() => stream.lines.length).toBeGreaterThan(lines + 3)
    expect(new Set(stream.lines)).toEqual(new Set([`near ${w.client.ip}`]))
    expect(await w.lab.run(w.client.netns, 'tcp', '10.96.0.42', '80')).toMatchObject({ reply: `far ${w.client.ip}` })
    stream.stop()
  })

  test('fragments are dropped as that, the first too, and none arrives', async () => {
    const seen = w.a1.events.length
    const inside = await w.lab.helper(w.near.netns, 'sniff', 'eth0')
    expect(await w.lab.run(w.client.netns, 'bigudp', w.near.ip, '8080')).toEqual({ error: 'timeout' })
    await expect.poll(() => w.a1.events.slice(seen).filter((event) => event.type === 'drop' && event.reason === 157 && event.source === 10).length).toBe(3)
    expect(inside.lines.slice(1)).toEqual([])
    inside.stop()
  })

  test('a router\'s "fragmentation needed" reaches the pod that it concerns, past its policy', async () => {
    execFileSync('ip', ['-n', w.outside, 'link', 'add', 'narrow', 'type', 'bridge'])
    execFileSync('ip', ['-n', w.outside, 'link', 'set', 'narrow', 'mtu', '1280', 'up'])
    execFileSync('ip', ['-n', w.outside, 'route', 'add', '10.9.9.0/24', 'dev', 'narrow'])
    execFileSync('ip', ['netns', 'exec', w.outside, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward'])
    await w.a1.call('setPolicy', 10, { ingress: [] })
    expect(await w.lab.run(w.client.netns, 'unfragmented', '10.9.9.9', '8080')).toEqual({ error: 'EMSGSIZE' })
    expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.toEndpoint, source: 10, state: TRACE_STATE.related, srcIdentity: 2 })).toBeDefined()
    await w.a1.call('setPolicy', 10, {})
  })

  test('what isn\'t there is dropped as unknown, and IPv6 as unsupported', async () => {
    expect(await w.lab.run(w.client.netns, 'tcp', '10.244.1.200', '80')).toEqual({ error: 'timeout' })
    expect(await w.a1.event({ type: 'drop', reason: 150, source: 10 })).toBeDefined()
    execFileSync('ip', ['netns', 'exec', w.client.netns, 'sh', '-c', 'echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6'])
    expect(await w.a1.event({ type: 'drop', reason: 139, source: 10 })).toBeDefined()
  })

  test('a pod can\'t send in another\'s name', async () => {
    execFileSync('ip', ['-n', w.client.netns, 'addr', 'add', '10.244.1.99/32', 'dev', 'eth0'])
    execFileSync('ip', ['-n', w.client.netns, 'route', 'add', w.near.ip, 'dev', 'eth0', 'src', '10.244.1.99'])
    expect(await w.lab.run(w.client.netns, 'tcp', w.near.ip, '8080')).toEqual({ error: 'timeout' })
    expect(await w.a1.event({ type: 'drop', reason: 132, source: 10 })).toBeDefined()
    execFileSync('ip', ['-n', w.client.netns, 'addr', 'del', '10.244.1.99/32', 'dev', 'eth0'])
  })

  test('conntrack lists flows from the sender\'s view and sweeps what has expired', async () => {
    await w.lab.run(w.client.netns, 'ping', w.near.ip)
    const entries = await w.a1.call<ConntrackEntry[]>('listConntrack')
    expect(entries).toContainEqual(expect.objectContaining({ direction: 'IN', protocol: 1, src: w.client.ip, dst: w.near.ip, srcPort: 0, dstPort: 0, sourceIdentity: 1010 }))
    expect(entries).toContainEqual(expect.objectContaining({ direction: 'SVC', protocol: 6, dst: '10.96.0.10', dstPort: 80, revnat: 1 }))
    expect(await w.a1.call('collectConntrack')).toMatchObject([{ table: 'cilium_ct4_global', family: 'ipv4' }, { table: 'cilium_ct6_global', family: 'ipv6', alive: { tcp: 0, other: 0 } }])
    expect((await w.a1.call<ConntrackEntry[]>('listConntrack')).filter(({ expires }) => expires < 0)).toEqual([])
  })

  test('metrics count by reason and direction', async () => {
    const metrics = await w.a1.call<ReturnType<Datapath['metrics']>>('metrics')
    for (const wanted of [{ reason: 0, direction: 'ingress' }, { reason: 0, direction: 'egress' }, { reason: 133, direction: 'ingress' }, { reason: 133, direction: 'egress' }])
      expect(metrics.find(({ reason, direction }) => reason === wanted.reason && direction === wanted.direction)?.packets).toBeGreaterThan(0)
  })

  describe('restart', () => {
    let stream: Helper
    beforeAll(async () => { stream = await w.lab.helper(w.client.netns, 'stream', '10.96.0.10', '80') })

    test('traffic, policy and services go on without the agent', async () => {
      await w.a1.call('setPolicy', 11, { ingress: [{ identity: 1010, port: 0, protocol: 'ANY' }] })
      await w.a1.stop()
      const before = stream.lines.length
      expect(await w.lab.run(w.client.netns, 'tcp', w.near.ip, '8080')).toMatchObject({ reply: `near ${w.client.ip}` })
      expect(await w.lab.run(w.client.netns, 'tcp', '10.96.0.10', '80')).toMatchObject({ from: '10.96.0.10:80' })
      expect(await w.lab.run(w.far.netns, 'tcp', w.near.ip, '8080')).toEqual({ error: 'timeout' })
      expect(stream.lines.length).toBeGreaterThan(before)
    })

    test('the next agent finds its state, and its programs take over without a gap', async () => {
      w.a1 = await w.n1.start()
      const { hostInterface, ...link } = w.client.link
      expect(await w.a1.call('adoptEndpoint', { id: 10, hostInterface, ipv4: w.client.ip, identity: 1010 })).toEqual({ hostInterface, ...link })
      expect(await w.a1.call('adoptEndpoint', { id: 99, hostInterface: 'lxc99', ipv4: '10.244.1.98', identity: 1 })).toBeNull()
      expect(await w.a1.call('listTunnels')).toEqual([{ prefix: '10.244.2.0/24', node: '192.168.77.12' }])
      const before = stream.lines.length
      expect(await w.lab.run(w.far.netns, 'tcp', w.near.ip, '8080')).toEqual({ error: 'timeout' })
      expect(await w.a1.event({ type: 'drop', reason: 133, srcIdentity: 2010, dstIdentity: 1011 })).toBeDefined()
      expect(stream.lines.length).toBeGreaterThan(before)
      expect(stream.lines.at(-1)).not.toContain('error')
      stream.stop()
    })

    test('every port of the program array and only this generation is pinned', () => {
      const pins = path.join(w.n1.config.bpffs, 'tc/globals')
      expect(fs.readdirSync(pins).filter((name) => name.startsWith('cilium_calls'))).toEqual(['cilium_calls'])
    })
  })

  test('adding an endpoint again changes nothing; removing it takes all of it', async () => {
    const spec = { id: 10, identity: 1010, netns: `/var/run/netns/${w.client.netns}`, containerInterface: 'eth0', hostInterface: 'lxc10', ipv4: w.client.ip }
    expect(await w.a1.call('addEndpoint', spec)).toEqual(w.client.link)
    expect(await w.lab.run(w.client.netns, 'ping', '10.244.1.1')).toMatchObject({ reply: 'type 0' })
    await w.a1.call('removeEndpoint', 10)
    expect((await w.a1.call<ReturnType<Datapath['listEndpoints']>>('listEndpoints')).map(({ ip }) => ip)).not.toContain(w.client.ip)
    expect(execFileSync('ip', ['-n', w.n1.netns, 'link'], { encoding: 'utf8' })).not.toContain('lxc10')
  })

  test('uninstalling leaves nothing', async () => {
    await w.a1.call('uninstall')
    expect(execFileSync('ip', ['-n', w.n1.netns, '-o', 'link'], { encoding: 'utf8' }).split('\n').map((line) => line.split(/[:@] ?/)[1]).filter(Boolean))
      .toEqual(['lo', 'eth1'])
    expect(execFileSync('ip', ['-n', w.n1.netns, 'route', 'show', 'root', '192.168.0.0/16'], { encoding: 'utf8' }).trim().split('\n')).toEqual([expect.stringContaining('192.168.77.0/24 dev eth1')])
    expect(fs.readdirSync(w.n1.config.bpffs).filter((name) => !name.endsWith('.debug'))).toEqual([]) // those are the kernel's
  })
})

/** Whether this machine's kernel has CONFIG_GENEVE, asked in a namespace of its own. */
function hasGeneve(): boolean {
  try {
    execFileSync('unshare', ['-n', 'ip', 'link', 'add', 'g0', 'type', 'geneve', 'external'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

describe.skipIf(process.getuid?.() !== 0 || hasGeneve())('a kernel without Geneve', () => {
  test('is told in one line what it lacks and what to do', () => {
    const lacking: ElfObject = { programs: [], maps: new Map(), license: 'GPL', options: [] }
    expect(() => requireFeatures(lacking, 'geneve')).toThrow(/^Geneve devices with the key in the packet's metadata: not supported by this kernel \(RTM_NEWLINK: EOPNOTSUPP\); came with 4\.3; needs CONFIG_GENEVE, or set tunnel to vxlan$/)
    requireFeatures(lacking, 'vxlan')
  })
})

describe.skipIf(process.getuid?.() !== 0 || !hasGeneve())('Geneve', { timeout: 60_000 }, () => {
  let folder: string, w: World
  const devices = (netns: string): string[] => (JSON.parse(execFileSync('ip', ['-n', netns, '-j', 'link'], { encoding: 'utf8' })) as { ifname: string }[]).map(({ ifname }) => ifname)
  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lash-geneve-'))
    w = await world(compile(folder), { tunnel: 'geneve', tunnelPort: 6081 })
  }, 60_000)
  afterAll(async () => {
    await w.lab.close()
    fs.rmSync(folder, { recursive: true })
  }, 60_000)

  test('carries packets between nodes, its network identifier being the sender\'s identity', async () => {
    const wire = await w.lab.helper(w.n2.netns, 'sniff', 'eth1')
    expect(await w.lab.run(w.client.netns, 'tcp', w.far.ip, '8080')).toEqual({ reply: `far ${w.client.ip}`, from: `${w.far.ip}:8080` })
    expect(await w.lab.run(w.client.netns, 'big', w.far.ip, '8080')).toMatchObject({ from: `${w.far.ip}:8080` })
    const udp = wire.lines.slice(1).map((line) => Buffer.from(line, 'hex')).filter((frame) => frame.readUInt16BE(12) === 0x0800 && frame.readUInt8(23) === 17)
    const geneve = udp.filter((frame) => frame.readUInt16BE(36) === 6081 && frame.readUInt16BE(44) === 0x6558)
    expect(new Set(geneve.map((frame) => frame.readUIntBE(46, 3)))).toEqual(new Set([1010, 2010]))
    expect(udp.length).toBe(geneve.length)
    expect(devices(w.n1.netns)).toContain('cilium_geneve')
    wire.stop()
  })

  test('gives way to VXLAN when an agent is set so, and nothing of it stays', async () => {
    await Promise.all([w.a1.stop(), w.a2.stop()])
    for (const node of [w.n1, w.n2]) Object.assign(node.config, { tunnel: 'vxlan', tunnelPort: 8472 })
    w.a1 = await w.n1.start()
    w.a2 = await w.n2.start()
    expect(await w.lab.run(w.client.netns, 'tcp', w.far.ip, '8080')).toMatchObject({ reply: `far ${w.client.ip}` })
    expect(devices(w.n1.netns)).toContain('cilium_vxlan')
    expect(devices(w.n1.netns)).not.toContain('cilium_geneve')
    await w.a1.call('uninstall')
    expect(devices(w.n1.netns).sort()).toEqual(['eth1', 'lo'])
  })
})

describe.skipIf(process.getuid?.() !== 0)('seeded faults', { timeout: 120_000 }, () => {
  let folder: string
  beforeAll(() => { folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lash-faults-')) })
  afterAll(() => fs.rmSync(folder, { recursive: true }))

  const allow = (...identities: number[]) => identities.map((identity) => ({ identity, port: 0, protocol: 'ANY' as const }))

  /** What the outside sees of each fault. */
  async function symptoms({ lab, n1, a1, a2, client, near, far, outside }: World): Promise<Record<string, unknown>> {
    const vip = '10.96.0.10', backends = [near, far].map(({ ip }) => ({ ip, port: 8080 }))
    const reaches = async (netns: string, ip: string, port = '8080'): Promise<boolean> => (await lab.run(netns, 'tcp', ip, port)).reply !== undefined
    const answering = async (ip: string): Promise<number> => new Set((await Promise.all(Array.from({ length: 20 }, () => lab.run(client.netns, 'tcp', ip, '80')))).flatMap(({ reply }) => reply?.split(' ')[0] ?? [])).size
    await a1.call('upsertService', { id: 1, frontend: { ip: vip, port: 80, protocol: 'TCP' }, backends })
    await a1.call('upsertService', { id: 2, frontend: { ip: '10.96.0.11', port: 80, protocol: 'TCP' }, backends, affinity: 600 })
    await a1.call('upsertService', { id: 3, frontend: { ip: n1.config.nodeIPv4, port: 30080, protocol: 'TCP' }, backends: backends.slice(1) })
    const overlay = await reaches(client.netns, far.ip)
    const arrived = await a2.event({ type: 'trace', point: TRACE_POINT.fromOverlay })
    const found = await answering(vip), affine = await answering('10.96.0.11')
    const nodePort = await reaches(outside, n1.config.nodeIPv4, '30080')
    const from = a1.events.length
    await lab.run(client.netns, 'bigudp', near.ip, '8080')
    const fragment = await a1.event({ type: 'drop', source: 10 }, from)

    await a1.call('setPolicy', 10, { ingress: [] })
    const replied = await reaches(client.netns, near.ip)
    const refused = await lab.run(client.netns, 'udp', near.ip, '999')
    await a1.call('setPolicy', 10, {})
    for (const [prefix, identity] of [['10.9.0.0/16', 65_536], ['10.9.2.0/24', 65_537]] as const) await a1.call('upsertCIDR', prefix, identity)
    await a1.call('setPolicy', 10, { egress: allow(65_536) })
    const prefixes = [await reaches(client.netns, '10.9.1.1'), await reaches(client.netns, '10.9.2.1'), await reaches(client.netns, OUTSIDE.ip)]
    await a1.call('setPolicy', 10, {})

    const before = a1.events.length
    await a1.call('setPolicy', 11, { ingress: [] })
    const denied = !await reaches(client.netns, near.ip)
    const drop = await a1.event({ type: 'drop', source: 11 }, before)
    return {
      overlay, vni: arrived?.type === 'trace' ? arrived.srcIdentity : undefined, backends: found, affine, nodePort, fragment: fragment?.type === 'drop' ? fragment.reason : undefined,
      replied, refused: refused.error, prefixes, denied, drop: drop?.type === 'drop' ? [drop.reason, drop.srcIdentity, drop.dstIdentity] : undefined,
    }
  }

  const healthy = {
    overlay: true, vni: 1010, backends: 2, affine: 1, nodePort: true, fragment: 157, replied: true, refused: 'recvmsg ECONNREFUSED', prefixes: [true, false, false], denied: true, drop: [133, 1010, 1011],
  }
  test.each([
    ['none', {}],
    ['POLICY_FORGETS_DROP', { denied: false, drop: undefined, prefixes: [true, true, true] }],
    // A node port's backends elsewhere are reached through the tunnel too, as the world.
    ['TUNNEL_BYPASS', { vni: undefined, nodePort: false }],
    ['SERVICE_ONE_BACKEND', { backends: 1 }],
    ['MONITOR_LOSES_DROPS', { drop: undefined, fragment: undefined }],
    ['NO_REVERSE_NAT', { backends: 0, affine: 0, nodePort: false }],
    ['WRONG_VNI', { vni: 1011, nodePort: false }],
    ['WRONG_DROP_REASON', { drop: [150, 1010, 1011], fragment: 150 }],
    ['SWAPPED_IDENTITIES', { vni: 0, drop: [133, 1011, 1010] }],
    ['SHORTEST_PREFIX_WINS', { prefixes: [true, true, false] }],
    ['EGRESS_NOT_ENFORCED', { prefixes: [true, true, true] }],
    ['REPLIES_DENIED', { replied: false }],
    ['FORGETS_AFFINITY', { affine: 2 }],
    ['NODEPORT_LOCAL_ONLY', { nodePort: false }],
    ['FRAGMENTS_PASS', { fragment: 135 }],
    ['NO_RELATED', { refused: 'timeout' }],
  ])('%s changes what it says and nothing else', async (fault, changes) => {
    expect(fault === 'none' || FAULTS.includes(fault)).toBe(true)
    const w = await world(compile(folder, fault === 'none' ? undefined : fault))
    try {
      expect(await symptoms(w)).toEqual({ ...healthy, ...changes })
    } finally {
      await w.lab.close()
    }
  })
})
