import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { StartedAgent } from '../agent/index.ts'
import { keepNewest } from '../core/cache.ts'
import type { Context } from '../core/context.ts'
import { LineProgress } from '../core/progress.ts'
import { Registry } from '../core/registry.ts'
import type { Kernel } from '../kernels/index.ts'
import { parseE2e, type E2eOptions } from './options.ts'
import type { Prepared } from './prepare.ts'
import { findSnapshot, saveSnapshot, snapshotKey } from './snapshots.ts'

const agent: StartedAgent = { handle: { driver: 'a', namespace: 'kube-system', selector: 'k=v', container: 'c', cli: ['cilium'], capabilities: { monitor: true, services: 'none' }, monitor: { form: 'json', args: ['monitor', '-j'] }, fatal: ['^panic'], dumps: [['status']] } }
const saved = { agent, features: [{ node: 'node1', kernel: { name: '6.1', release: '6.1.0', line: '6.1' }, features: [{ name: 'map:hash', state: 'supported' as const }] }] }
const kernel: Kernel = { name: '6.1', release: '6.1.0', line: '6.1', image: '/k', digest: 'kd', source: 'test' }
const driver = { name: 'a', installDigest: () => 'install', prepareImages: () => Promise.resolve([]), plan: () => Promise.resolve({ manifests: '', handle: agent.handle }) }
const prepared: Prepared = {
  nodes: [{ name: 'node1', kernel, boot: {}, accel: 'tcg' }, { name: 'node2', kernel, boot: {}, accel: 'tcg' }],
  kubernetes: { version: '1.20.2', bin: '/kube' } as Prepared['kubernetes'], image: { disk: '/i', digest: 'image' }, imagesDisk: '/images', workloadImage: 'w', driver: driver, agentOptions: {}, agentEtcd: false,
}

let ctx: Context
let options: E2eOptions

beforeEach(async () => {
  const dir = mkdtempSync(join(tmpdir(), 'kb-snap-'))
  ctx = { registry: new Registry(), progress: new LineProgress(() => undefined), dir, sockets: dir, cache: dir, signal: new AbortController().signal }
  options = (await parseE2e(['--agent', 'lash']))!
})

afterEach(async () => {
  await ctx.registry.releaseAll()
  rmSync(ctx.dir, { recursive: true, force: true })
})

describe('the key of a snapshot', () => {
  it('is the same for the same, and readable', async () => {
    const key = await snapshotKey(prepared, options, ctx)
    expect(key).toMatch(/^6\.1-a-[0-9a-f]{16}$/)
    expect(await snapshotKey(prepared, options, ctx)).toBe(key)
  })

  it.each<[string, Partial<Prepared>, Partial<E2eOptions>]>([
    ['a kernel', { nodes: [prepared.nodes[0]!, { ...prepared.nodes[1]!, kernel: { ...kernel, digest: 'other' } }] }, {}],
    ['one node more', { nodes: [...prepared.nodes, prepared.nodes[0]!] }, {}],
    ['the guest image', { image: { disk: '/i', digest: 'other' } }, {}],
    ['the container images', { imagesDisk: '/other' }, {}],
    ['Kubernetes', { kubernetes: { version: '1.29.0', bin: '/kube' } as Prepared['kubernetes'] }, {}],
    ['what the agent installs', { driver: { ...driver, installDigest: () => 'other' } }, {}],
    ['the acceleration', { nodes: prepared.nodes.map((node) => ({ ...node, accel: 'kvm' as const })) }, {}],
    ['memory', {}, { memoryMiB: 2048 }],
    ['CPUs', {}, { cpus: 1 }],
  ])('is another one for another %s', async (_what, change, option) => {
    expect(await snapshotKey({ ...prepared, ...change }, { ...options, ...option }, ctx)).not.toBe(await snapshotKey(prepared, options, ctx))
  })

  it('is none for an agent with a fault, or one that does not say what it installs', async () => {
    expect(await snapshotKey({ ...prepared, agentOptions: { fault: 'x' } }, options, ctx)).toBeUndefined()
    const { installDigest: _unsaid, ...silent } = driver
    expect(await snapshotKey({ ...prepared, driver: silent }, options, ctx)).toBeUndefined()
  })
})

const save = (key: string) => saveSnapshot(key, saved, ctx, (dir) => Promise.resolve(writeFileSync(join(dir('node1'), 'ram'), 'memory')))

describe('a snapshot', () => {
  it('is found as it was saved, until it is discarded', async () => {
    expect(findSnapshot('k', ctx)).toBeUndefined()
    const saved = await save('k')
    const found = findSnapshot('k', ctx)
    expect(found).toMatchObject({ dir: saved.dir, agent, features: saved.features })
    found?.discard()
    expect(findSnapshot('k', ctx)).toBeUndefined()
  })

  it('that failed to be saved leaves nothing', async () => {
    await expect(saveSnapshot('k', saved, ctx, (dir) => (writeFileSync(join(dir('node1'), 'ram'), ''), Promise.reject(new Error('no'))))).rejects.toThrow('no')
    expect(findSnapshot('k', ctx)).toBeUndefined()
    expect(readdirSync(join(ctx.cache, 'snapshots'))).toEqual([])
  })

  it.each<[string, (dir: string) => void]>([
    ['has lost its manifest', (dir) => rmSync(join(dir, 'snapshot.json'))],
    ['has a damaged manifest', (dir) => truncateSync(join(dir, 'snapshot.json'), 5)],
    ['is 21 days old', (dir) => utimesSync(join(dir, 'snapshot.json'), Date.now() / 1000 - 21 * 86400, Date.now() / 1000 - 21 * 86400)],
  ])('that %s is not used, and removed', async (_what, damage) => {
    const { dir } = await save('k')
    damage(dir)
    expect(findSnapshot('k', ctx)).toBeUndefined()
    expect(existsSync(dir)).toBe(false)
  })
})

it('keeps the entries that were used last', async () => {
  for (const key of ['a', 'b', 'c']) await save(key)
  const used = (key: string, at: number): void => utimesSync(join(ctx.cache, 'snapshots', key, '.complete'), at, at)
  used('a', 3)
  used('b', 1)
  used('c', 2)
  mkdirSync(join(ctx.cache, 'snapshots', 'd.partial'))
  keepNewest(ctx, 'snapshots', 'a', 2)
  expect(readdirSync(join(ctx.cache, 'snapshots')).sort()).toEqual(['a', 'c', 'd.partial'])
})
