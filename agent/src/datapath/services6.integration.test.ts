/** Services of IPv6 on this machine's kernel: datapath.integration.test.ts says how to run it. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TRACE_POINT, TRACE_STATE } from './events.ts'
import { OUTSIDE6, type Answer, type Pod } from './testing/lab.ts'
import { compile, world, type World } from './testing/world.ts'
import type { ConntrackEntry, ServiceSpec } from './types.ts'

const VIP = 'fd96::10'
const service = (id: number, ip: string, protocol: 'TCP' | 'UDP', ...backends: Pod[]): ServiceSpec => ({ id, frontend: { ip, port: 80, protocol }, backends: backends.map(({ ip6 }) => ({ ip: ip6, port: 8080 })) })

describe.skipIf(process.getuid?.() !== 0)('services of IPv6', { timeout: 180_000 }, () => {
  let folder: string, w: World
  const run = (netns: string, ...args: string[]): Promise<Answer> => w.lab.run(netns, ...args)
  /** Asks so often that every backend answers. */
  const askAll = (netns: string, ip: string, port = '80', protocol = 'tcp'): Promise<Answer[]> => Promise.all(Array.from({ length: 20 }, () => run(netns, protocol, ip, port)))
  const names = (answers: Answer[]): Set<string | undefined> => new Set(answers.map(({ reply, error }) => error ?? reply?.split(' ')[0]))

  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lash-services6-'))
    w = await world(compile(folder), { six: true })
    for (const agent of [w.a1, w.a2]) for (const [id, protocol] of [[1, 'TCP'], [2, 'UDP']] as const) await agent.call('upsertService', service(id, VIP, protocol, w.near, w.far))
  }, 60_000)
  afterAll(async () => {
    await w.lab.close()
    fs.rmSync(folder, { recursive: true })
  }, 60_000)

  test('how large the programs are for the verifier is told', () => {
    const { programs } = w.a1.ready!
    process.stdout.write(`${programs.map(({ name, instructions, processed }) => `${name} ${instructions} ${processed}`).join('\n')}\n`)
    expect(programs.filter(({ instructions }) => instructions > 4096)).toEqual([])
  })

  test.each(['tcp', 'udp'])('%s is answered by the backends of both nodes, from the service\'s address, to pods and hosts', async (protocol) => {
    for (const [who, netns] of Object.entries({ client: w.client.netns, far: w.far.netns, host1: w.n1.netns, host2: w.n2.netns })) {
      const answers = await askAll(netns, VIP, '80', protocol)
      expect(answers.map(({ from, error }) => error ?? from), who).toEqual(answers.map(() => `[${VIP}]:80`))
      expect(names(answers), who).toEqual(new Set(['near', 'far']))
    }
    expect(new Set((await askAll(w.client.netns, VIP, '80', protocol)).map(({ reply }) => reply?.split(' ')[1]))).toEqual(new Set([w.client.ip6]))
  })

  test('much data keeps its checksums', async () => {
    for (let i = 0; i < 4; i++) expect(await run(w.client.netns, 'big', VIP, '80')).toMatchObject({ reply: '60005', from: `[${VIP}]:80` })
  })

  test('the monitor sees the client at the backend and the answer at the client', async () => {
    await w.a1.call('upsertService', service(3, 'fd96::11', 'TCP', w.near))
    const seen = w.a1.events.length
    expect(await run(w.client.netns, 'tcp', 'fd96::11', '80')).toMatchObject({ reply: `near ${w.client.ip6}` })
    expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.toEndpoint, source: 11, srcIdentity: 1010, dstIdentity: 1011, state: TRACE_STATE.new }, seen)).toBeDefined()
    expect(await w.a1.event({ type: 'trace', point: TRACE_POINT.toEndpoint, source: 10, srcIdentity: 1011, dstIdentity: 1010, state: TRACE_STATE.reply }, seen)).toBeDefined()
    expect(w.a1.events.slice(seen).filter(({ type }) => type === 'drop')).toEqual([])
  })

  test('a pod and a host that are their own backend reach themselves', async () => {
    await w.a1.call('upsertService', service(4, 'fd96::12', 'TCP', w.client))
    await w.a1.call('upsertService', service(5, 'fd96::12', 'UDP', w.client))
    for (const protocol of ['tcp', 'udp']) expect(await run(w.client.netns, protocol, 'fd96::12', '80')).toEqual({ reply: 'client f00d::af4:100:ffff:ffff', from: '[fd96::12]:80' })
    await w.a1.call('upsertService', { id: 6, frontend: { ip: 'fd96::13', port: 80, protocol: 'TCP' }, backends: [{ ip: w.n1.config.ipv6!.router, port: 8080 }] })
    expect(await run(w.n1.netns, 'tcp', 'fd96::13', '80')).toEqual({ reply: 'host1 f00d::af4:100:ffff:ffff', from: '[fd96::13]:80' })
    // By a policy of its own that lets nobody in.
    await w.a1.call('setPolicy', 10, { ingress: [], egress: [] })
    expect(await run(w.client.netns, 'tcp', 'fd96::12', '80')).toMatchObject({ from: '[fd96::12]:80' })
    await w.a1.call('setPolicy', 10, {})
    expect(await run(w.n1.netns, 'udp', 'f00d::af4:100:ffff:ffff', '8080')).toMatchObject({ error: expect.any(String) as string })
    expect(await w.a1.event({ type: 'drop', reason: 150, source: 0 })).toBeDefined()
  })

  test('policy is of backends: by their identities, at both ends', async () => {
    const reached = async (): Promise<Set<string | undefined>> => names(await askAll(w.client.netns, VIP))
    await w.a1.call('setPolicy', 10, { egress: [{ identity: 1011, port: 8080, protocol: 'TCP' }] })
    expect(await reached()).toEqual(new Set(['near', 'timeout']))
    await w.a1.call('setPolicy', 10, {})
    await w.a2.call('setPolicy', 10, { ingress: [{ identity: 1011, port: 0, protocol: 'ANY' }] })
    expect(await reached()).toEqual(new Set(['near', 'timeout']))
    await w.a2.call('setPolicy', 10, {})
    // Answers are let in whatever policy says, and translated.
    await w.a1.call('setPolicy', 10, { ingress: [] })
    expect(await reached()).toEqual(new Set(['near', 'far']))
    await w.a1.call('setPolicy', 10, {})
  })

  test('an error of a backend is about the service, and its checksum is right', async () => {
    await w.a1.call('upsertService', { id: 7, frontend: { ip: 'fd96::14', port: 80, protocol: 'UDP' }, backends: [{ ip: w.near.ip6, port: 999 }] })
    await w.a1.call('upsertService', { id: 8, frontend: { ip: 'fd96::15', port: 80, protocol: 'UDP' }, backends: [{ ip: w.far.ip6, port: 999 }] })
    for (const ip of ['fd96::14', 'fd96::15']) expect(await run(w.client.netns, 'udp', ip, '80')).toEqual({ error: 'recvmsg ECONNREFUSED' })
  })

  test('without backends it is dropped as that', async () => {
    await w.a1.call('upsertService', service(9, 'fd96::16', 'TCP'))
    expect(await run(w.client.netns, 'tcp', 'fd96::16', '80')).toEqual({ error: 'timeout' })
    expect(await w.a1.event({ type: 'drop', reason: 158, source: 10 })).toBeDefined()
  })

  test('affinity keeps a client at one backend', async () => {
    const spec = { ...service(10, 'fd96::17', 'TCP', w.near, w.far), affinity: 600 }
    await w.a1.call('upsertService', spec)
    const first = names([await run(w.client.netns, 'tcp', 'fd96::17', '80')])
    expect(names(await askAll(w.client.netns, 'fd96::17'))).toEqual(first)
    expect((await w.a1.call<ServiceSpec[]>('listServices')).find(({ id }) => id === 10)).toEqual(spec)
    const [name] = first
    await w.a1.call('upsertService', { ...spec, backends: spec.backends.filter(({ ip }) => ip !== (name === 'near' ? w.near : w.far).ip6) })
    expect(names([await run(w.client.netns, 'tcp', 'fd96::17', '80')])).toEqual(new Set([name === 'near' ? 'far' : 'near']))
    await w.a1.call('deleteService', spec.frontend)
  })

  test('a connection outlives its backend\'s place in the service; new ones go elsewhere', async () => {
    await w.a1.call('upsertService', service(11, 'fd96::18', 'TCP', w.near))
    const stream = await w.lab.helper(w.client.netns, 'stream', 'fd96::18', '80')
    await w.a1.call('upsertService', service(11, 'fd96::18', 'TCP', w.far))
    const lines = stream.lines.length
    await expect.poll(() => stream.lines.length).toBeGreaterThan(lines + 3)
    expect(new Set(stream.lines)).toEqual(new Set([`near ${w.client.ip6}`]))
    expect(await run(w.client.netns, 'tcp', 'fd96::18', '80')).toMatchObject({ reply: `far ${w.client.ip6}` })
    stream.stop()
  })

  describe('at the nodes\' own addresses', () => {
    const port = 30080
    beforeAll(async () => {
      for (const agent of [w.a1, w.a2]) for (const [i, { config }] of [w.n1, w.n2].entries())
        await agent.call('upsertService', { id: 30 + i, frontend: { ip: config.ipv6!.router, port, protocol: 'TCP' }, backends: [w.near, w.far].map(({ ip6 }) => ({ ip: ip6, port: 8080 })) } satisfies ServiceSpec)
    })

    test.each(['n1', 'n2'] as const)('is answered at %s by the backends of both nodes, to pods, hosts and the world', async (at) => {
      const router = w[at].config.ipv6!.router
      for (const [who, netns] of Object.entries({ outside: w.outside, host1: w.n1.netns, host2: w.n2.netns, client: w.client.netns, far: w.far.netns })) {
        const answers = await askAll(netns, router, String(port))
        expect(answers.map(({ from, error }) => error ?? from), who).toEqual(answers.map(() => `[${router}]:${port}`))
        expect(names(answers), who).toEqual(new Set(['near', 'far']))
      }
    })

    test('keeps the client\'s address, by which policy tells it', async () => {
      const router = w.n1.config.ipv6!.router
      await w.a2.call('upsertCIDR', 'fd09:2::/32', 65_600)
      await w.a2.call('setPolicy', 10, { ingress: [{ identity: 65_600, port: 0, protocol: 'ANY' }] })
      await w.a1.call('upsertService', { id: 30, frontend: { ip: router, port, protocol: 'TCP' }, backends: [{ ip: w.far.ip6, port: 8080 }] })
      const ask = (address: string) => run(w.outside, 'tcp', router, String(port), '0', address)
      expect(await ask('fd09:2::1')).toEqual({ reply: 'far fd09:2::1', from: `[${router}]:${port}` })
      expect(await ask('fd09:1::1')).toEqual({ error: 'timeout' })
      expect(await w.a2.event({ type: 'drop', reason: 133, source: 10, srcIdentity: 2 })).toBeDefined()
      await w.a2.call('setPolicy', 10, {})
      await w.a2.call('deleteCIDR', 'fd09:2::/32')
    })

    test('leaves the host\'s own ports alone', async () => {
      expect(await run(w.outside, 'tcp', w.n1.config.ipv6!.router, '8080')).toMatchObject({ reply: `host1 ${OUTSIDE6.ip}` })
      // Of the address that a host answers from.
      expect(await run(w.outside, 'bigudp', 'fd77::11', '8080')).toMatchObject({ reply: `host1 ${OUTSIDE6.ip}` })
    })
  })

  test('are listed with those of IPv4, by number; of the other family a service has no backends', async () => {
    const four: ServiceSpec = { id: 20, frontend: { ip: '10.96.0.20', port: 80, protocol: 'TCP' }, backends: [{ ip: w.near.ip, port: 8080 }] }
    const weighed: ServiceSpec = { id: 21, frontend: { ip: 'fd96::21', port: 80, protocol: 'TCP' }, backends: [{ ip: w.near.ip6, port: 8080, weight: 3 }, { ip: w.far.ip6, port: 8080 }] }
    for (const spec of [weighed, four]) await w.a1.call('upsertService', spec)
    const list = await w.a1.call<ServiceSpec[]>('listServices')
    expect(list.filter(({ id }) => id === 20 || id === 21)).toEqual([four, weighed])
    await expect(w.a1.call('upsertService', { ...four, backends: weighed.backends })).rejects.toThrow(`service 10.96.0.20:80 can't have backend [${w.near.ip6}]:8080: it is of the other IP family`)
    expect(await w.a1.call('listServices')).toEqual(list)
    for (const { frontend } of [four, weighed]) await w.a1.call('deleteService', frontend)
    expect((await w.a1.call<ServiceSpec[]>('listServices')).map(({ id }) => id)).not.toEqual(expect.arrayContaining([20]))
  })

  test('connections are listed: to the service, and of the backend with its number', async () => {
    expect(await run(w.client.netns, 'tcp', VIP, '80')).toMatchObject({ from: `[${VIP}]:80` })
    const entries = await w.a1.call<ConntrackEntry[]>('listConntrack')
    expect(entries).toContainEqual(expect.objectContaining({ direction: 'SVC', protocol: 6, src: w.client.ip6, dst: VIP, dstPort: 80, revnat: 1 }))
    expect(entries).toContainEqual(expect.objectContaining({ direction: 'OUT', protocol: 6, src: w.client.ip6, dstPort: 8080, revnat: 1, sourceIdentity: 1010 }))
  })

  test('they go on without the agent, connections too, and the next one finds them', async () => {
    const before = await w.a1.call<ServiceSpec[]>('listServices')
    const stream = await w.lab.helper(w.client.netns, 'stream', VIP, '80')
    await w.a1.stop()
    expect(names(await askAll(w.client.netns, VIP))).toEqual(new Set(['near', 'far']))
    w.a1 = await w.n1.start()
    expect(await w.a1.call('listServices')).toEqual(before)
    const lines = stream.lines.length
    await expect.poll(() => stream.lines.length).toBeGreaterThan(lines + 3)
    expect(stream.lines.at(-1)).not.toContain('error')
    stream.stop()
  })
})
