/** An agent that comes with other programs or other maps than the one before it: datapath.integration.test.ts says how to run it. */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { BpfMap, createMap, mapShape, openPinned, pin } from './bpf.ts'
import type { Helper } from './testing/lab.ts'
import { compile, world, type World } from './testing/world.ts'
import type { ConntrackEntry, Datapath } from './types.ts'

const bpf = path.join(import.meta.dirname, '../../bpf')

/** Compiles a copy of the datapath, changed. */
function compileChanged(folder: string, name: string, change: { file: string; from: string; to: string }): string {
  const copy = path.join(folder, name)
  fs.cpSync(bpf, copy, { recursive: true })
  const source = fs.readFileSync(path.join(copy, change.file), 'utf8')
  if (!source.includes(change.from)) throw new Error(`${change.file} has no ${change.from}`)
  fs.writeFileSync(path.join(copy, change.file), source.replace(change.from, change.to))
  const object = path.join(folder, `${name}.o`)
  execFileSync('clang', ['-O2', '-target', 'bpf', '-mcpu=v1', '-Wall', '-Werror', '-I', copy, '-c', path.join(copy, 'lash.c'), '-o', object])
  return object
}

describe.skipIf(process.getuid?.() !== 0)('an agent after another', { timeout: 240_000 }, () => {
  let folder: string, w: World, streams: Helper[]
  const pinned = (name: string) => path.join(w.n1.config.bpffs, 'tc/globals', name)
  const entriesOf = (name: string): number => { const fd = openPinned(pinned(name))!; try { return mapShape(fd).maxEntries } finally { fs.closeSync(fd) } }
  const flows = async () => (await w.a1.call<ConntrackEntry[]>('listConntrack')).filter(({ dstPort, protocol, rxPackets, txPackets }) => dstPort === 8080 && protocol === 6 && rxPackets + txPackets > 0)
  const filters = () => ['lxc10', 'lxc11', 'cilium_host', 'cilium_vxlan'].map((device) => execFileSync('ip', ['netns', 'exec', w.n1.netns, 'tc', 'filter', 'show', 'dev', device, device === 'cilium_host' ? 'egress' : 'ingress'], { encoding: 'utf8' }))
  const goesOn = async () => {
    const before = streams.map(({ lines }) => lines.length)
    await expect.poll(() => streams.every(({ lines }, i) => lines.length > before[i]! + 3), { timeout: 10_000, interval: 50 }).toBe(true)
    for (const { lines } of streams) expect(lines.at(-1)).not.toContain('error')
  }
  const reaches = async (from: { netns: string }, to: string) => (await w.lab.run(from.netns, 'tcp', to, '8080')).reply !== undefined
  const adopt = async () => { for (const pod of [w.client, w.near]) expect(await w.a1.call('adoptEndpoint', { id: pod.id, hostInterface: `lxc${pod.id}`, ipv4: pod.ip, identity: pod.identity, netns: `/var/run/netns/${pod.netns}`, containerInterface: 'eth0' })).toEqual(pod.link) }

  beforeEach(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lash-shapes-'))
    w = await world(compile(folder))
    await w.a1.call('setPolicy', 11, { ingress: [{ identity: 1010, port: 0, protocol: 'ANY' }] })
    streams = await Promise.all([w.near.ip, w.far.ip].map((ip) => w.lab.helper(w.client.netns, 'stream', ip, '8080')))
    await goesOn()
  }, 120_000)
  afterEach(async () => {
    await w.lab.close()
    fs.rmSync(folder, { recursive: true })
  })

  test('with a larger connection table keeps endpoints, policy and connections', async () => {
    await w.a1.stop()
    const size = entriesOf('cilium_ct4_global')
    w.n1.config.conntrackEntries = 2 * size
    w.a1 = await w.n1.start()
    expect(entriesOf('cilium_ct4_global')).toBe(2 * size)
    expect(await w.a1.call('notes')).toContainEqual(expect.stringMatching(new RegExp(`^cilium_ct4_global had ${size} entries of 16 \\+ 56 bytes and has ${2 * size} entries of 16 \\+ 56 bytes now: \\d+ were kept$`)))
    // Both ends of one, and one end of the other.
    expect(await flows()).toHaveLength(3)
    // Nobody adopted anything yet: the map of endpoints is as it was, and its programs are the new ones.
    await goesOn()
    expect(await reaches(w.far, w.near.ip)).toBe(false)
    await adopt()
    await goesOn()
    expect([await reaches(w.client, w.near.ip), await reaches(w.client, w.far.ip), await reaches(w.far, w.near.ip)]).toEqual([true, true, false])
  })

  test('whose programs are refused leaves everything as it was', async () => {
    const before = filters(), size = entriesOf('cilium_ct4_global')
    await w.a1.stop()
    const { objectFile } = w.n1.config
    // Larger, and with a program that follows a number from the packet.
    const larger = compileChanged(folder, 'refused', { file: 'lib/maps.h', from: 'struct ct_entry, 65536', to: 'struct ct_entry, 131072' })
    const copy = path.join(folder, 'refused', 'lash.c')
    fs.appendFileSync(copy, '\n__section("tail/23") int refused(struct __sk_buff *skb)\n{\n\treturn *(volatile int *)(long)skb->len;\n}\n')
    execFileSync('clang', ['-O2', '-target', 'bpf', '-mcpu=v1', '-I', path.dirname(copy), '-c', copy, '-o', larger])
    Object.assign(w.n1.config, { objectFile: larger, conntrackEntries: 2 * size })
    await expect(w.n1.start()).rejects.toThrow(/exited with 1/)
    expect(filters()).toEqual(before)
    expect(entriesOf('cilium_ct4_global')).toBe(size)
    expect(fs.readdirSync(path.dirname(pinned(''))).filter((name) => name.endsWith('_next'))).toEqual([])
    await goesOn()
    expect([await reaches(w.client, w.near.ip), await reaches(w.far, w.near.ip)]).toEqual([true, false])

    Object.assign(w.n1.config, { objectFile, conntrackEntries: size })
    w.a1 = await w.n1.start()
    expect(await w.a1.call('notes')).toEqual([])
    // Those of the streams, and of the one answer since.
    expect(await flows()).toHaveLength(5)
    await goesOn()
  })

  test('that can\'t read the endpoints before makes their entries from their interfaces, and takes over once the rest is filled', async () => {
    const before = filters()
    await w.a1.stop()
    // As an earlier version may have had it.
    const fd = openPinned(pinned('cilium_lxc'))!
    const shape = { ...mapShape(fd), valueSize: 40 }
    fs.closeSync(fd)
    fs.unlinkSync(pinned('cilium_lxc'))
    const old = new BpfMap('cilium_lxc', createMap('cilium_lxc', shape), shape, 1)
    pin(old.fd, pinned('cilium_lxc'))
    fs.closeSync(old.fd)

    w.a1 = await w.n1.start()
    expect(await w.a1.call('notes')).toEqual([expect.stringMatching(/^cilium_lxc had 2048 entries of 4 \+ 40 bytes and has 2048 entries of 4 \+ 32 bytes now: what was in it is made anew$/)])
    await adopt()
    // Until then the programs before serve, by the maps before.
    expect(filters()).toEqual(before)
    await goesOn()
    await w.a1.call('setPolicy', 10, {})
    await w.a1.call('setPolicy', 11, { ingress: [{ identity: 1010, port: 0, protocol: 'ANY' }] })
    await w.a1.call('attach')
    expect(filters()).not.toEqual(before)
    await goesOn()
    expect([await reaches(w.client, w.near.ip), await reaches(w.client, w.far.ip), await reaches(w.far, w.near.ip)]).toEqual([true, true, false])
    expect((await w.a1.call<ReturnType<Datapath['listEndpoints']>>('listEndpoints')).map(({ ip }) => ip)).toEqual(expect.arrayContaining([w.client.ip, w.near.ip]))
  })
})
