import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { cached } from './cache.ts'
import type { Context } from './context.ts'
import { LineProgress } from './progress.ts'
import { Registry } from './registry.ts'
import { waitFor } from './wait.ts'

let dir = ''
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'kb-cache-'))))
afterEach(() => rmSync(dir, { recursive: true, force: true }))

/** `steps` are those that began. */
function context(): { ctx: Context; steps: string[]; abort: AbortController } {
  const steps: string[] = []
  const abort = new AbortController()
  const lines = new LineProgress(() => undefined)
  const progress = { timeline: lines.timeline, note: () => undefined, step: (name: string) => (steps.push(name), lines.step(name)) }
  return { ctx: { registry: new Registry(), progress, dir, sockets: dir, cache: dir, signal: abort.signal }, steps, abort }
}

/** An entry that is being made until `finish` is called. */
function slow(ctx: Context): { entry: Promise<string>; finish: () => void } {
  let finish = (): void => undefined
  const until = new Promise<void>((resolve) => (finish = resolve))
  const entry = cached(ctx, 'images', 'x', async (partial) => {
    await until
    writeFileSync(join(partial, 'made'), 'once')
  })
  return { entry, finish }
}

const waits = (steps: readonly string[]): Promise<string> => waitFor({ name: 'the second run to wait', timeoutMs: 5000, intervalMs: 5 }, () => (steps[0] === undefined ? { seen: 'nothing' } : { done: steps[0] }))
const locked = (): Promise<boolean> => waitFor({ name: 'the lock', timeoutMs: 5000, intervalMs: 5 }, () => (existsSync(join(dir, 'images/x.lock')) ? { done: true } : { seen: 'none' }))

test('an entry that another run makes is waited for, which is shown, and not made again', async () => {
  const first = slow(context().ctx)
  await locked()
  const { ctx, steps } = context()
  const second = cached(ctx, 'images', 'x', () => Promise.reject(new Error('made twice')))
  expect(await waits(steps)).toBe('images/x: waiting for another run that makes it')
  first.finish()
  expect(await second).toBe(await first.entry)
  expect(readFileSync(join(await second, 'made'), 'utf8')).toBe('once')
})

test('a run that is stopped does not wait any longer', async () => {
  const first = slow(context().ctx)
  await locked()
  const { ctx, steps, abort } = context()
  const second = cached(ctx, 'images', 'x', () => Promise.reject(new Error('made twice')))
  await waits(steps)
  abort.abort()
  await expect(second).rejects.toThrow('stopped while waiting for another run to make images/x')
  first.finish()
  await first.entry
})

test('nothing is kept of an entry that could not be made', async () => {
  await expect(cached(context().ctx, 'images', 'x', () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(existsSync(join(dir, 'images/x'))).toBe(false)
  expect(existsSync(join(dir, 'images/x.lock'))).toBe(false)
})
