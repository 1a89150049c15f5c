import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { explain } from '../core/errors.ts'
import { waitFor } from '../core/wait.ts'
import { collectMachine } from './collect.ts'
import { startFakeGuest, type FakeGuest } from './fake-guest.ts'
import { GuestCommandError } from './guest-error.ts'
import { shellQuote } from '../core/shell-quote.ts'
import { attachMachine } from './machine.ts'
import { sshArgs } from './shell.ts'
import type { Machine } from './types.ts'

let dir: string
let guest: FakeGuest
let machine: Machine

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'kb-'))
  guest = await startFakeGuest(dir)
  machine = await attachMachine(guest.handle)
})

afterEach(async () => {
  await machine.close()
  await guest.close()
  rmSync(dir, { recursive: true, force: true })
})

async function failure(promise: Promise<unknown>): Promise<GuestCommandError> {
  const error = await promise.then(() => undefined, (e: unknown) => e)
  if (!(error instanceof GuestCommandError)) throw new Error(`expected a GuestCommandError, got ${String(error)}`)
  return error
}

/** Number of processes whose command line has this text. */
const running = (text: string): number => execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).split('\n').filter((line) => line.startsWith(text)).length

describe('exec', () => {
  it('gives stdout, stderr, the exit code and the time', async () => {
    const result = await machine.exec('echo out; echo err >&2')
    expect(result).toMatchObject({ command: 'echo out; echo err >&2', exitCode: 0, stdout: 'out\n', stderr: 'err\n' })
    expect(result.ms).toBeGreaterThan(0)
  })

  it('feeds stdin', async () => {
    expect((await machine.exec('wc -c', { stdin: Buffer.alloc(300_000) })).stdout.trim()).toBe('300000')
  })

  it('does not mind a command that leaves its stdin unread', async () => {
    expect((await machine.exec('exec <&-; echo fine', { stdin: Buffer.alloc(5_000_000) })).stdout).toBe('fine\n')
  })

  it('throws reason and command, then stderr, then stdout', async () => {
    const error = await failure(machine.exec('echo some output; echo what went wrong >&2; exit 3'))
    expect(explain(error)).toBe('error (cluster): node1: exit code 3: echo some output; echo what went wrong >&2; exit 3\n  | what went wrong\n  | some output')
    expect(error).toMatchObject({ status: 3, reason: 'exit code 3', machine: 'node1' })
  })

  it('returns instead when failure is allowed', async () => {
    expect(await machine.exec('exit 4', { allowFailure: true })).toMatchObject({ exitCode: 4 })
  })

  it('ends the command and its children at the deadline, and keeps what was printed', async () => {
    const error = await failure(machine.exec('echo begun; sleep 31.41 & sleep 31.41; sleep 31.41', { timeoutMs: 300 }))
    expect(error.message).toContain('node1: timed out after 0.3 s: echo begun')
    expect(error.stdout).toBe('begun\n')
    expect(running('sleep 31.41')).toBe(0)
  })

  it('ends it when aborted', async () => {
    const stop = new AbortController()
    setTimeout(() => stop.abort(), 200)
    expect((await failure(machine.exec('sleep 31.42', { signal: stop.signal }))).reason).toBe('stopped')
    expect(running('sleep 31.42')).toBe(0)
    expect((await failure(machine.exec('true', { signal: AbortSignal.abort() }))).reason).toBe('stopped')
  })

  it('tells a signal from an exit code', async () => {
    expect((await failure(machine.exec('kill -KILL $$'))).reason).toBe('killed by SIGKILL')
  })

  it('makes a lost connection anew for the next command', async () => {
    await machine.exec('true')
    guest.drop()
    await machine.exec('true')
    await machine.exec('true')
    expect(guest.logins).toBe(2)
  })

  it('asks again when dropbear refuses a channel before the command began', async () => {
    guest.refuse(3)
    expect((await machine.exec('echo once')).stdout).toBe('once\n')
    guest.refuse(1000)
    await expect(machine.exec('echo never')).rejects.toThrow('node1 does not answer: Unable to exec')
  })

  it('refuses a command that is longer than dropbear takes', async () => {
    await expect(machine.exec(`echo ${'x'.repeat(9000)}`)).rejects.toThrow('a command of 9005 bytes is more than dropbear takes: write it to a file first')
  })

  it('blames the hypervisor for a connection lost in the middle, the guest kernel when it panicked', async () => {
    const lost = failure(machine.exec('sleep 31.43'))
    await waitFor({ name: 'it to run', timeoutMs: 5000 }, () => (running('sleep 31.43') ? { done: 0 } : { seen: '' }))
    guest.drop()
    expect(await lost).toMatchObject({ reason: 'the connection was lost', blame: 'hypervisor' })
    appendFileSync(guest.handle.consoleFile, '[  9.1] Kernel panic - not syncing: Fatal exception\n')
    await guest.close()
    const gone = await machine.exec('true').catch((error: unknown) => explain(error))
    expect(gone).toContain('error (guest kernel): node1: kernel panic: Fatal exception')
  })

  it('serves many commands at once over one connection', async () => {
    const results = await Promise.all(Array.from({ length: 20 }, (_, i) => machine.exec(`echo ${i}`)))
    expect(results.map((result) => Number(result.stdout))).toEqual(Array.from({ length: 20 }, (_, i) => i))
    expect(guest.logins).toBe(1)
  })
})

describe('stream', () => {
  it('gives lines as they come, whole, from stdout and stderr, and the last one without an end', async () => {
    const lines: string[] = []
    const stream = await machine.stream('printf on; sleep 0.1; echo e; echo two >&2; sleep 0.1; printf "thr\\303"; sleep 0.1; printf "\\251e"')
    stream.onLine((line) => lines.push(line))
    expect(await stream.done).toBe(0)
    expect(lines).toEqual(['one', 'two', 'thrée'])
  })

  it('keeps lines for a listener that comes late', async () => {
    const stream = await machine.stream('echo early')
    await stream.done
    const lines: string[] = []
    stream.onLine((line) => lines.push(line))
    expect(lines).toEqual(['early'])
  })

  it('ends the remote command and its children when stopped', async () => {
    const stream = await machine.stream('sleep 31.44 | cat; sleep 31.44')
    await waitFor({ name: 'it to run', timeoutMs: 5000 }, () => (running('sleep 31.44') ? { done: 0 } : { seen: '' }))
    await stream.stop()
    await stream.stop()
    expect(running('sleep 31.44')).toBe(0)
    expect(await stream.done).toBeUndefined()
  })

  it('ends a command that ignores TERM', async () => {
    const stream = await machine.stream('trap "" TERM; while :; do sleep 0.3145; done')
    await waitFor({ name: 'it to run', timeoutMs: 5000 }, () => (running('sleep 0.3145') ? { done: 0 } : { seen: '' }))
    await stream.stop()
    expect(running('sleep 0.3145')).toBe(0)
  })

  it('resolves when the connection ends', async () => {
    const stream = await machine.stream('sleep 3')
    guest.drop()
    expect(await stream.done).toBeUndefined()
  })
})

describe('files', () => {
  it('travel both ways unchanged, with their mode, and folders are made', async () => {
    const content = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 256))
    const remote = join(dir, 'a folder', 'it\'s')
    await machine.writeFile(remote, content, 0o751)
    expect(readFileSync(remote).equals(content)).toBe(true)
    expect(statSync(remote).mode & 0o777).toBe(0o751)
    expect((await machine.readFile(remote)).equals(content)).toBe(true)
    await machine.writeFile(remote, '')
    expect(await machine.readFile(remote)).toHaveLength(0)
  })

  it('are uploaded whole', async () => {
    const local = join(dir, 'local')
    writeFileSync(local, Buffer.alloc(5_000_000, 'abc'))
    await machine.upload(local, join(dir, 'remote'))
    expect(readFileSync(join(dir, 'remote')).equals(readFileSync(local))).toBe(true)
  })

  it('say what is wrong when they are not there', async () => {
    expect((await failure(machine.readFile('/nowhere'))).message).toBe('node1: exit code 1: cat \'/nowhere\'')
    await expect(machine.upload('/nowhere', '/tmp/x')).rejects.toThrow('ENOENT')
  })

  it('are quoted for the shell', () => {
    expect(shellQuote('a \'b\' $c')).toBe('\'a \'\\\'\'b\'\\\'\' $c\'')
  })
})

describe('collectMachine', () => {
  it('copies the console and what the guest tells', async () => {
    const out = join(dir, 'out')
    expect(await collectMachine(guest.handle, out)).toEqual([])
    expect(readFileSync(join(out, 'console.log'), 'utf8')).toContain('Linux version')
    expect(readFileSync(join(out, 'ps.txt'), 'utf8')).toContain('PID')
  })

  it('never throws, and notes what could not be had', async () => {
    await guest.close()
    const out = join(dir, 'out')
    mkdirSync(out)
    expect((await collectMachine({ ...guest.handle, consoleFile: '/nowhere/c' }, out)).join('\n')).toMatch(/node1: console: ENOENT.*\nnode1: SSH: node1 does not answer: no SSH to root@127.0.0.1:\d+: .*ECONNREFUSED/)
    expect(readFileSync(join(out, 'missing.txt'), 'utf8')).toContain('node1: console')
  })
})

it('hands the system\'s ssh the run\'s key and no host key check', () => {
  expect(sshArgs(guest.handle, 'uname')).toEqual(expect.arrayContaining(['-i', guest.handle.ssh.keyFile, 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR', 'root@127.0.0.1', 'uname']))
})
