/** Tables of connections on this machine's kernel: sweeping large ones, and what there is no room for. Needs root, clang and iproute2. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { describe, expect, test } from 'vitest'
import { BpfMap, createMap, MAP_TYPE } from './bpf.ts'
import { monotonicSeconds, sweepConntrack } from './conntrack.ts'
import { raiseMemlock } from './system.ts'
import { Lab } from './testing/lab.ts'
import { compile } from './testing/world.ts'
import type { ConntrackSweep } from './types.ts'

const LIFETIME_AT = 32

/** As struct ct_key and struct ct_entry (agent/bpf/lib/maps.h): an entry a number, TCP if it is even. */
const keyOf = (number: number): Buffer => { const key = Buffer.alloc(16); key.writeUInt32LE(number, 0); key[12] = number % 2 === 0 ? 6 : 17; return key }
const entryOf = (lifetime: number): Buffer => { const entry = Buffer.alloc(56); entry.writeUInt32LE(lifetime, LIFETIME_AT); return entry }

function tableOf(maxEntries: number): BpfMap {
  raiseMemlock()
  const shape = { type: MAP_TYPE.hash, keySize: 16, valueSize: 56, maxEntries, flags: 0 }
  return new BpfMap('cilium_ct4_global', createMap('cilium_ct4_global', shape), shape, 1)
}

describe.skipIf(process.getuid?.() !== 0)('a table of connections', { timeout: 240_000 }, () => {
  test('is swept of what has expired, in turns, and what stays is counted, however large it is', async () => {
    const size = 262_144, table = tableOf(size)
    try {
      const now = monotonicSeconds()
      for (let number = 0; number < size; number++) table.update(keyOf(number), entryOf(number % 8 < 2 ? now - 1 : now + 600))
      const delay = monitorEventLoopDelay({ resolution: 5 })
      delay.enable()
      const began = performance.now(), cpu = process.cpuUsage()
      const sweep = await sweepConntrack('ipv4', table, () => false)
      const took = performance.now() - began
      const { user, system } = process.cpuUsage(cpu)
      delay.disable()
      expect(sweep).toEqual({ table: 'cilium_ct4_global', family: 'ipv4', capacity: size, alive: { tcp: size * 3 / 8, other: size * 3 / 8 }, deleted: { tcp: size / 8, other: size / 8 } })
      console.log(`${size} entries: ${Math.round(took)} ms of sweeping (${Math.round((user + system) / 1000)} ms of processor time), of which others waited ${Math.round(delay.max / 1e6)} ms at most, ${Math.round(delay.percentile(50) / 1e6)} ms in the middle`)
      expect(delay.max / 1e6).toBeLessThan(took / 4)
    } finally {
      fs.closeSync(table.fd)
    }
  })

  test('is counted aright while entries go under the sweep, which ends when it is told to', async () => {
    const size = 10_000, table = tableOf(size)
    try {
      for (let number = 0; number < size; number++) table.update(keyOf(number), entryOf(monotonicSeconds() + 600))
      let gone = 0
      const timer = setInterval(() => { for (let i = 0; i < 100 && gone < 1000; i++) table.delete(keyOf(gone++)) }, 1)
      await sweepConntrack('ipv4', table, () => false)
      clearInterval(timer)
      const { alive } = await sweepConntrack('ipv4', table, () => false)
      expect(alive.tcp + alive.other).toBe(size - gone)
      const { alive: some } = await sweepConntrack('ipv4', table, () => true)
      expect(some.tcp + some.other).toBeLessThan(size - gone)
    } finally {
      fs.closeSync(table.fd)
    }
  })

  test('that is full drops new connections and says so; an agent after it keeps its size, or has the one it is given', async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lash-conntrack-')), lab = new Lab()
    try {
      const node = lab.node(1, compile(folder), { conntrackEntries: 1 })
      lab.wire(node)
      let agent = await node.start()
      const sweep = async () => (await agent.call<ConntrackSweep[]>('collectConntrack'))[0]!
      const pod = await node.addPod(10, 1010)
      expect(await lab.run(pod.netns, 'ping', '10.244.1.1')).toMatchObject({ reply: 'type 0' })
      await lab.run(pod.netns, 'tcp', '10.244.1.1', '8080')
      expect(await agent.event({ type: 'drop', reason: 155, source: 10 })).toBeDefined()
      expect(await sweep()).toMatchObject({ capacity: 1, alive: { tcp: 0, other: 1 } })
      for (const [wanted, has] of [[0, 1], [1000, 1000], [0, 1000]] as const) {
        await agent.stop()
        node.config.conntrackEntries = wanted
        agent = await node.start()
        expect((await sweep()).capacity, `asked for ${wanted}`).toBe(has)
      }
      expect(await lab.run(pod.netns, 'tcp', '10.244.1.1', '8080')).toEqual({ error: expect.stringContaining('ECONNREFUSED') as string })
    } finally {
      await lab.close()
      fs.rmSync(folder, { recursive: true })
    }
  })
})
