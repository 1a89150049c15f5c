import { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Context } from '../core/context.ts'
import { LineProgress } from '../core/progress.ts'
import { Registry } from '../core/registry.ts'
import { assertState, beginState, saveState } from './snapshot.ts'
import { restoreCluster } from './start.ts'

let dir: string
let saved: string
let ctx: Context

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'kb-state-'))
  saved = join(dir, 'saved')
  for (const part of ['etcd', 'agent-etcd', 'pki']) {
    mkdirSync(join(saved, part), { recursive: true })
    writeFileSync(join(saved, part, 'file'), part)
  }
  ctx = { registry: new Registry(), progress: new LineProgress(() => undefined), dir, sockets: dir, cache: dir, signal: new AbortController().signal }
})

afterEach(async () => {
  await ctx.registry.releaseAll()
  rmSync(dir, { recursive: true, force: true })
})

it('begins with what was saved', () => {
  beginState(saved, ctx)
  expect(readFileSync(join(dir, 'etcd/file'), 'utf8')).toBe('etcd')
  expect(readFileSync(join(dir, 'pki/file'), 'utf8')).toBe('pki')
})

it('keeps the data of etcd where no disk delays it, for as long as the run takes', async () => {
  beginState(saved, ctx)
  const memory = realpathSync(join(dir, 'etcd'))
  expect(memory).toMatch(/^\/dev\/shm\//)
  expect(lstatSync(join(dir, 'pki')).isSymbolicLink()).toBe(false)
  writeFileSync(join(memory, 'file'), 'later')
  const again = join(dir, 'again')
  saveState(again, ctx)
  expect(readFileSync(join(again, 'etcd/file'), 'utf8')).toBe('later')
  await ctx.registry.releaseAll()
  expect(existsSync(memory)).toBe(false)
})

it('begins with nothing after a restore that was given up', () => {
  beginState(saved, ctx)
  beginState(undefined, ctx)
  expect(existsSync(join(dir, 'etcd/file'))).toBe(false)
  expect(existsSync(join(dir, 'pki/file'))).toBe(false)
})

it.each(['etcd', 'agent-etcd', 'pki'])('says that %s is gone, and touches nothing', (part) => {
  rmSync(join(saved, part), { recursive: true })
  expect(() => assertState(saved)).toThrow(`${part} is missing`)
  expect(() => beginState(saved, ctx)).toThrow(`${part} is missing`)
  expect(existsSync(join(dir, 'etcd'))).toBe(false)
})

it('gives a restore up only when all of it has ended', async () => {
  rmSync(join(saved, 'etcd'), { recursive: true })
  let ended = false
  const machine = (signal: AbortSignal) => new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => {
    ended = true
    reject(new Error('aborted'))
  }))
  const kubernetes = { bin: '/none', version: '1.20.2' } as Parameters<typeof restoreCluster>[0]['kubernetes']
  await expect(restoreCluster({ kubernetes, saved, machines: ({ signal }) => [machine(signal)] }, ctx)).rejects.toThrow('etcd is missing')
  expect(ended).toBe(true)
})
