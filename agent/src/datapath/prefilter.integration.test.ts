/** The prefilter, and the prober's echo, on this machine's kernel. Needs root, clang and iproute2. */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ipv6Of, Lab, type Agent, type LabNode } from './testing/lab.ts'
import { compile } from './testing/world.ts'
import type { Datapath } from './types.ts'

describe.skipIf(process.getuid?.() !== 0)('the prefilter', { timeout: 240_000 }, () => {
  let folder: string, lab: Lab, node: LabNode, agent: Agent, outside: string
  const begin = async (fault?: string): Promise<void> => {
    lab = new Lab()
    node = lab.node(1, compile(folder), { ipv6: ipv6Of(1) })
    node.config.prefilter = { objectFile: compile(folder, fault, 'prefilter'), device: 'eth1', mode: 'auto' }
    outside = lab.wire(node)
    agent = await node.start()
    await lab.helper(outside, 'serve', 'outside', '8080')
    await lab.helper(node.netns, 'serve', 'host', '8080')
  }
  beforeAll(() => { folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lash-prefilter-')) })
  afterAll(() => fs.rmSync(folder, { recursive: true }))

  const reaches = async (ip: string): Promise<boolean> => (await lab.run(node.netns, 'tcp', ip, '8080')).reply !== undefined
  /** As the kernel has it, by iproute2's names: nothing, `xdp` (in the driver) or `xdpgeneric`. */
  const shown = (): string | undefined => /\bxdp\w*/.exec(execFileSync('ip', ['-n', node.netns, 'link', 'show', 'eth1'], { encoding: 'utf8' }))?.[0]
  const xdp = (): boolean => shown() !== undefined

  test('drops what comes from a denied prefix, counts and tells it, and is attached only while there is one', async () => {
    await begin()
    try {
      expect([await reaches('10.9.1.1'), await reaches('10.9.2.1'), xdp()]).toEqual([true, true, false])
      await agent.call('setPrefilter', ['10.9.2.0/24', '10.9.1.0/25'])
      expect([await agent.call('prefilterMode'), xdp()]).toEqual([expect.stringMatching(/^(native|generic)$/), true])
      const seen = agent.events.length
      expect([await reaches('10.9.1.1'), await reaches('10.9.2.1'), await reaches('192.168.77.50')]).toEqual([false, false, true])
      expect(await agent.event({ type: 'drop', reason: 162, source: 0, srcIdentity: 2, dstIdentity: 1 }, seen)).toMatchObject({ packet: expect.stringContaining('0a090101') as string })
      const counted = async () => (await agent.call<ReturnType<Datapath['metrics']>>('metrics')).find(({ reason }) => reason === 162)
      expect(await counted()).toMatchObject({ direction: 'ingress' })
      expect((await counted())!.packets).toBeGreaterThanOrEqual(2)

      await agent.call('setPrefilter', ['10.9.2.0/24'])
      expect([await reaches('10.9.1.1'), await reaches('10.9.2.1')]).toEqual([true, false])

      // It goes on without the agent; one that comes back replaces it.
      await agent.stop()
      expect([await reaches('10.9.1.1'), await reaches('10.9.2.1')]).toEqual([true, false])
      agent = await node.start()
      await agent.call('setPrefilter', ['10.9.1.0/24'])
      expect([await reaches('10.9.1.1'), await reaches('10.9.2.1')]).toEqual([false, true])
      await agent.call('uninstall')
      expect([await reaches('10.9.1.1'), xdp()]).toEqual([true, false])
    } finally {
      await lab.close()
    }
  })

  test('drops, counts and tells IPv6 by prefixes of its own, which leave IPv4 alone', async () => {
    await begin()
    try {
      expect([await reaches('fd09:1::1'), await reaches('fd09:2::1')]).toEqual([true, true])
      await agent.call('setPrefilter', ['fd09:1::/32', 'fd09:2:0:0:8000::/65'])
      const seen = agent.events.length
      expect([await reaches('fd09:1::1'), await reaches('fd09:2::1'), await reaches('fd09:2::8000:0:0:1'), await reaches('10.9.1.1')]).toEqual([false, true, false, true])
      expect(await agent.event({ type: 'drop', reason: 162, source: 0, srcIdentity: 2, dstIdentity: 1 }, seen)).toMatchObject({ packet: expect.stringMatching(/^.{44}fd090001000000000000000000000001.{32}1f90/) as string })
      const counted = (await agent.call<ReturnType<Datapath['metrics']>>('metrics')).find(({ reason }) => reason === 162)
      // A SYN without options of Ethernet's has 74 bytes at least.
      expect(counted!.packets).toBeGreaterThanOrEqual(2)
      expect(counted!.bytes).toBeGreaterThanOrEqual(74 * counted!.packets)

      await agent.call('setPrefilter', ['fd09::/16', '10.9.1.0/24'])
      expect([await reaches('fd09:1::1'), await reaches('fd09:2::1'), await reaches('10.9.1.1'), await reaches('10.9.2.1')]).toEqual([false, false, false, true])
      await agent.call('setPrefilter', ['10.9.1.0/24'])
      expect([await reaches('fd09:1::1'), await reaches('10.9.1.1')]).toEqual([true, false])
      await agent.call('setPrefilter', [])
      expect([await reaches('10.9.1.1'), xdp()]).toEqual([true, false])
    } finally {
      await lab.close()
    }
  })

  test.each([['native', 'xdp'], ['generic', 'xdpgeneric']] as const)('runs in %s mode where it is told to, and says so', async (mode, name) => {
    await begin()
    try {
      await agent.stop()
      node.config.prefilter = { ...node.config.prefilter!, mode }
      agent = await node.start()
      await agent.call('setPrefilter', ['10.9.1.0/24'])
      expect([await agent.call('prefilterMode'), shown()]).toEqual([mode, name])
      expect([await reaches('10.9.1.1'), await reaches('10.9.2.1')]).toEqual([false, true])
    } finally {
      await lab.close()
    }
  })

  test('that a seeded fault makes ignore its list lets all pass', async () => {
    await begin('PREFILTER_IGNORES_DENY')
    try {
      await agent.call('setPrefilter', ['10.9.1.0/24'])
      expect(await reaches('10.9.1.1')).toBe(true)
      expect(await agent.event({ type: 'drop', reason: 162 })).toBeDefined()
    } finally {
      await lab.close()
    }
  })

  test('that a seeded fault blinds to IPv6 lets it pass', async () => {
    await begin('PREFILTER_IGNORES_IPV6')
    try {
      await agent.call('setPrefilter', ['fd09::/16', '10.9.1.0/24'])
      expect([await reaches('fd09:1::1'), await reaches('10.9.1.1')]).toEqual([true, false])
    } finally {
      await lab.close()
    }
  })

  test('says what it can\'t be attached to; and an echo is timed, or told to be without answer', async () => {
    await begin()
    try {
      await agent.stop()
      node.config.prefilter = { ...node.config.prefilter!, device: 'nosuch0' }
      agent = await node.start()
      await expect(agent.call('setPrefilter', ['10.9.1.0/24'])).rejects.toThrow(/nosuch0/)
      expect(await agent.call<number>('ping', '192.168.77.50', 2000)).toBeGreaterThan(0)
      expect(await agent.call<number>('ping', '192.168.77.11', 2000)).toBeGreaterThan(0)
      await expect(agent.call('ping', '192.168.77.99', 300)).rejects.toThrow(/no answer in 0\.3 s|EHOSTUNREACH/)
    } finally {
      await lab.close()
    }
  })
})
