import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { explain } from '../core/errors.ts'
import { LineProgress } from '../core/progress.ts'
import { Registry } from '../core/registry.ts'
import { BootError, BootWatch, bootMachine, type BootPlan } from './boot.ts'
import { startFakeGuest, type FakeGuest } from './fake-guest.ts'
import type { Context } from '../core/context.ts'

let dir: string
let guest: FakeGuest
let ctx: Context
let notes: string[]

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'kb-'))
  guest = await startFakeGuest(dir)
  rmSync(guest.handle.consoleFile)
  notes = []
  ctx = { registry: new Registry(), progress: new LineProgress((line) => notes.push(line)), dir, sockets: dir, cache: dir, signal: new AbortController().signal }
})

afterEach(async () => {
  await ctx.registry.releaseAll()
  await guest.close()
  rmSync(dir, { recursive: true, force: true })
})

/** A plan whose QEMU is a shell script; `$C` is the console. */
const plan = (script: string, more: Partial<BootPlan> = {}): BootPlan => ({
  name: 'node1',
  ssh: guest.handle.ssh,
  consoleFile: guest.handle.consoleFile,
  qemu: { name: 'machine node1', file: '/bin/sh', args: ['-c', script], logFile: join(dir, 'qemu.log'), graceMs: 0, env: { C: guest.handle.consoleFile, D: dir } },
  sockets: [],
  deadlineMs: 5000,
  silenceMs: 600,
  ...more,
})

async function failure(script: string, more: Partial<BootPlan> = {}): Promise<BootError> {
  const error = await bootMachine(plan(script, more), ctx, () => undefined).then(() => undefined, (e: unknown) => e)
  if (!(error instanceof BootError)) throw new Error(`expected a BootError, got ${String(error)}`)
  return error
}

/** An ended process that its parent has not looked at yet (Z) does not. */
const runs = (pid: string): boolean => existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))

describe('bootMachine', () => {
  it('gives a session once SSH answers, and says how far the boot is', async () => {
    const phases = new Set<string>()
    const booted = await bootMachine(plan('echo "[ 0.1] Linux" >$C; sleep 0.1; echo "kernelbed: ssh" >>$C; sleep 60'), ctx, (phase) => phases.add(phase))
    expect(booted.bootMs).toBeGreaterThan(100)
    expect([...phases]).toEqual(expect.arrayContaining(['kernel', 'init: ssh']))
    expect(guest.logins).toBe(1)
    booted.session.close()
    await booted.service.stop()
    expect(booted.service.alive).toBe(false)
  })

  it('gives QEMU\'s own message when it does not start, and does not try again', async () => {
    const error = await failure('echo "qemu: could not open disk" >&2; echo >>$D/tries; exit 1')
    expect(explain(error)).toContain('error (hypervisor): node1: QEMU did not start the machine\n  | qemu: could not open disk')
    expect(readFileSync(join(dir, 'tries'), 'utf8')).toBe('\n')
  })

  it('names a panic and what may be missing, with the console\'s last lines', async () => {
    const error = await failure('echo "[ 1.0] Loading\n[ 1.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)" >$C')
    expect(explain(error)).toContain('error (guest kernel): node1: kernel panic: VFS: Unable to mount root fs on unknown-block(0,0)\n  | [ 1.0] Loading')
    expect(error.hint).toContain('CONFIG_VIRTIO_BLK')
  })

  it('tells a reset without a panic', async () => {
    const error = await failure('echo "[ 1.0] Loading" >$C; sleep 0.2')
    expect(explain(error)).toContain('error (guest kernel): node1: the machine reset or QEMU ended during boot, without a kernel panic')
  })

  it('boots a machine whose kernel has a wrong idea of time once more', async () => {
    const booted = await bootMachine(plan('if [ -e $D/tried ]; then echo "[ 0.1] Linux" >$C; else : >$D/tried; echo "[    0.000000] tsc: PIT calibration deviates from PMTIMER: 85844 2250019" >$C; fi; echo "kernelbed: ssh" >>$C; sleep 60'), ctx, () => undefined)
    expect(notes.join('\n')).toContain('node1: the kernel took its processor for one of 86 MHz by one timer, of 2250 by another, so its time is wrong; booting it once more')
    booted.session.close()
  })

  it('boots a machine that hangs once more, visibly, and keeps the first console', async () => {
    const booted = await bootMachine(plan('if [ -e $D/again ]; then echo "kernelbed: ssh" >$C; else : >$D/again; echo "[ 0.5] stuck" >$C; fi; sleep 60'), ctx, () => undefined)
    booted.session.close()
    expect(notes.join('\n')).toMatch(/node1: kernel up, init not reached \(nothing new for 1 s, the machine idles\); booting it once more \(console of the first try: .*console\.log\.first\)/)
    expect(readFileSync(`${guest.handle.consoleFile}.first`, 'utf8')).toContain('stuck')
  })

  it('gives up when it hangs again, and leaves no process', async () => {
    const error = await failure('echo $$ >>$D/pids; sleep 60')
    expect(explain(error)).toMatch(/error \(hypervisor\): node1: no console output \(nothing new for 1 s, the machine idles\)/)
    const pids = readFileSync(join(dir, 'pids'), 'utf8').trim().split('\n')
    expect(pids).toHaveLength(2)
    expect(pids.filter(runs)).toEqual([])
  })

  it('tells how far init came when there is no SSH', async () => {
    const silent = createServer()
    await new Promise<void>((resolve) => void silent.listen(0, '127.0.0.1', resolve))
    const port = (silent.address() as { port: number }).port
    const error = await failure('echo "kernelbed: ssh" >$C; while sleep 0.1; do echo "[ 1.0] busy" >>$C; done', { deadlineMs: 800, ssh: { ...guest.handle.ssh, port } })
    silent.close()
    expect(error.message).toMatch(/node1: init reached "ssh", no SSH \(deadline of \d s passed, \d s of processor time used\): no SSH to root@127.0.0.1:\d+: no SSH banner within/)
    expect(error.blame).toBe('guest kernel')
  })

  it('stops at once when the run is stopped', async () => {
    const stop = new AbortController()
    setTimeout(() => stop.abort(), 200)
    await expect(bootMachine(plan('sleep 60', { silenceMs: 60_000 }), { ...ctx, signal: stop.signal }, () => undefined)).rejects.toThrow('stopped while waiting for node1 to answer SSH')
  })

  it('removes stale sockets first', async () => {
    writeFileSync(join(dir, 'stale'), '')
    await failure('exit 1', { sockets: [join(dir, 'stale')] })
    expect(existsSync(join(dir, 'stale'))).toBe(false)
  })
})

describe('BootWatch', () => {
  const limits = { deadlineMs: 60_000, silenceMs: 20_000 }
  const after = (seconds: number, cpu: number): ReturnType<BootWatch['stuck']> => new BootWatch(limits, 0, 0, () => cpu).stuck(seconds * 1000)

  it('hopes while there is time', () => {
    expect(after(19, 0)).toBeUndefined()
  })

  it.each([[21, 0.1, 'idles'], [21, 20.5, 'spins']])('after %d s of silence and %d s of processor time the machine %3$s', (seconds, cpu, how) => {
    expect(after(seconds, cpu)).toEqual({ hung: true, how: `nothing new for 21 s, the machine ${how}` })
  })

  it('does not take a starved machine for one that hangs, and gives it three times the deadline', () => {
    expect(after(30, 5)).toBeUndefined()
    expect(after(100, 15)).toBeUndefined()
    expect(after(181, 15)).toMatchObject({ hung: false })
  })
})
