import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { runCommand } from '../core/command.ts'
import { explain } from '../core/errors.ts'
import { LineProgress } from '../core/progress.ts'
import { Registry } from '../core/registry.ts'
import { ensureGuestProgram } from '../image/index.ts'
import { startFakeGuest, type FakeGuest } from '../machine/fake-guest.ts'
import { decodeFrame } from './decode.ts'
import { GuestTap } from './guest-tap.ts'
import { attachGuests } from './guests.ts'

let dir: string
let guest: FakeGuest

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'kb-'))
  guest = await startFakeGuest(dir)
})

afterEach(async () => {
  await guest.close()
  rmSync(dir, { recursive: true, force: true })
})

const compile = (): Promise<string> => ensureGuestProgram('kb-capture', 'capture program', join(import.meta.dirname, 'guest'), { registry: new Registry(), progress: new LineProgress(() => undefined), dir, sockets: dir, cache: dir, signal: new AbortController().signal })

describe('a capture by the machine itself', () => {
  it('has each frame that the machine sent before it was asked, once, in this host\'s time', async () => {
    const program = await compile()
    // A network namespace of its own stands for the machine; no root is needed for it.
    const tap = new GuestTap('node1', guest.handle.ssh, `unshare -Urn sh -c 'ip link set lo up; echo $$ > ${dir}/pid; exec ${program} lo'`)
    await tap.start()
    const pid = readFileSync(join(dir, 'pid'), 'utf8').trim()
    await tap.flush()
    tap.take()
    await runCommand('nsenter', ['-t', pid, '-U', '-n', '--preserve-credentials', 'bash', '-c', 'for i in 1 2 3; do echo packet $i > /dev/udp/127.0.0.1/9999; done'])
    await tap.flush()
    const seen = tap.take()
    const frames = seen.map(({ data, timeNs, length }) => decodeFrame(data, timeNs, 'node1', length)).filter(({ l4 }) => l4?.dstPort === 9999)
    expect(frames.map(({ l4 }) => l4?.payload.toString())).toEqual(['packet 1\n', 'packet 2\n', 'packet 3\n'])
    expect(Math.abs(Number(frames[2]!.timeNs / 1_000_000n) - Date.now())).toBeLessThan(5000)
    await tap.flush()
    expect(tap.take().filter(({ data }) => data.length > 100)).toEqual([])
    tap.close()
    await expect.poll(() => existsSync(`/proc/${pid}/exe`), { timeout: 5000 }).toBe(false)
  })

  it('says what is wrong when the program cannot capture, and when it is gone', async () => {
    const program = await compile()
    const tap = new GuestTap('node1', guest.handle.ssh, `unshare -Urn ${program} eth7`)
    const error = await tap.start().then(() => undefined, (cause: unknown) => cause)
    expect(explain(error)).toBe('error (hypervisor): the capture on node1 ended (exit code 1)\n  | eth7: No such device')
    await expect(tap.flush()).rejects.toThrow('the capture on node1 ended (exit code 1)')
    tap.close()
  })

  it('tells of frames that it lost', async () => {
    // Greeting, and an answer with two lost frames.
    const tap = new GuestTap('node1', guest.handle.ssh, `printf '\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0'; read x; printf '\\2\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\1\\0\\0\\0'; read x`)
    await tap.start()
    await expect(tap.flush()).rejects.toThrow('the capture on node1 lost 2 frames')
    tap.close()
  })
})

describe('a network that only machines see', () => {
  it('cannot be cut, and says so', async () => {
    await expect(attachGuests({ guests: [] }).cut('node1')).rejects.toThrow("the network between the machines is not kernelbed's, so it cannot be cut")
  })
})
