import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommand } from '../core/command.ts'
import type { Context } from '../core/context.ts'
import { LineProgress } from '../core/progress.ts'
import { Registry } from '../core/registry.ts'
import { features } from '../kernels/features.ts'
import { attachMachine, type Machine } from '../machine/index.ts'
import { startFakeGuest, type FakeGuest } from '../machine/fake-guest.ts'
import { ensureProbe } from './build.ts'
import { parseProbe } from './parse.ts'
import { probeFeatures } from './probe.ts'

// The guest is this host: the program runs for real on its kernel, as root in namespaces of its own (another user becomes root of a user namespace).
const asRoot = process.getuid?.() === 0 ? [] : ['unshare', '-r']
let dir: string
let ctx: Context
let guest: FakeGuest
let machine: Machine

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'kb-'))
  ctx = { registry: new Registry(), progress: new LineProgress(() => undefined), dir, sockets: dir, cache: dir, signal: new AbortController().signal }
  guest = await startFakeGuest(dir)
  machine = await attachMachine(guest.handle)
})

afterAll(async () => {
  await machine.close()
  await guest.close()
  rmSync(dir, { recursive: true, force: true })
})

const run = async (): Promise<string> => (await runCommand('env', [...asRoot, await ensureProbe(ctx)])).stdout

describe('the program', () => {
  it('answers for every feature of the list, and for no other', async () => {
    const stdout = await run()
    const found = parseProbe(stdout)
    expect(found).toHaveLength(stdout.trim().split('\n').length)
    expect(found.map(({ name }) => name).sort()).toEqual(features.map(({ name }) => name as string).filter((name) => !name.startsWith('config:')).sort())
  })

  it('explains what it could not tell', async () => {
    expect(parseProbe(await run()).filter(({ state, note }) => state === 'unknown' && note === undefined)).toEqual([])
  })

  it.runIf(asRoot.length === 0)('finds on this host what no kernel from 4.18 on lacks', async () => {
    const { features: table } = await probeFeatures(machine, ctx)
    const stateOf = (name: string): string | undefined => table.find((feature) => feature.name === name)?.state
    const old = ['map:hash', 'map:array', 'map:prog_array', 'prog:socket_filter', 'helper:sched_cls/bpf_skb_store_bytes', 'helper:sched_cls/bpf_fib_lookup', 'limit:stack-512', 'limit:bpf-calls', 'access:packet-write', 'isa:v2', 'cmd:obj-get-info', 'fs:pin-map', 'attach:socket-filter']
    expect(old.map((name) => `${name} ${stateOf(name)}`)).toEqual(old.map((name) => `${name} supported`))
  })

  it('leaves nothing behind', async () => {
    const state = (): unknown => [readFileSync('/proc/self/mounts', 'utf8'), readFileSync('/proc/self/net/dev', 'utf8').match(/^ *\w+(?=:)/gm), readdirSync('/var/tmp').filter((name) => name.startsWith('kb-probe')), readdirSync('/tmp').filter((name) => name.startsWith('kb-probe'))]
    const before = state()
    await probeFeatures(machine, ctx)
    expect(state()).toEqual(before)
  })
})

describe('probeFeatures', () => {
  it('says where it was, and takes the config that came with a kernel which shows none', async () => {
    const config = join(dir, 'config')
    writeFileSync(config, 'CONFIG_GENEVE=m\n')
    const hidden: Machine = { ...machine, exec: async (command, options) => machine.exec(command.replaceAll('/proc/config.gz', '/proc/no-such-config'), options) }
    const table = await probeFeatures(hidden, ctx, { config })
    expect(table).toMatchObject({ node: 'node1', kernel: guest.handle.kernel })
    expect(table.features.find(({ name }) => name === 'config:GENEVE')).toMatchObject({ state: 'supported', note: 'module' })
    expect(table.features.find(({ name }) => name === 'config:VXLAN')).toMatchObject({ state: 'unsupported', note: 'not set' })
  })

  it('keeps what a probe that dies had found, and says so of the rest', async () => {
    const dying: Machine = { ...machine, exec: async (command, options) => machine.exec(command.replace('"$f"; code=$?', '"$f" | head -n 3; echo "it died" >&2; code=139'), options) }
    const { features: table } = await probeFeatures(dying, ctx)
    expect(table.slice(0, 2).map(({ state }) => state)).not.toContain('unknown')
    expect(table.find(({ name }) => name === 'isa:v4')).toEqual({ name: 'isa:v4', state: 'unknown', note: 'the probe ended with exit code 139 before it came to this: it died' })
  })

  it('makes a table of a machine that does not answer, with the reason', async () => {
    const gone: Machine = { ...machine, exec: () => Promise.reject(new Error('the connection was lost')) }
    const { features: table } = await probeFeatures(gone, ctx)
    expect(new Set(table.filter(({ name }) => !name.startsWith('config:')).map(({ state, note }) => `${state}: ${note ?? ''}`))).toEqual(new Set(['unknown: the connection was lost']))
  })
})
