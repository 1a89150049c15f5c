import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { pruneSorts, useEntry } from './cache-prune.ts'
import { cached } from './cache.ts'
import type { Context } from './context.ts'
import { LineProgress } from './progress.ts'
import { Registry } from './registry.ts'

let dir = ''
let images = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'kb-prune-'))
  images = join(dir, 'images')
  mkdirSync(images)
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const context = (): Context => ({ registry: new Registry(), progress: new LineProgress(() => undefined), dir, sockets: dir, cache: dir, signal: new AbortController().signal })
const key = (sort: string, i: number): string => `${sort}-${i.toString(16).padStart(16, '0')}`
const hour = 3600_000

/** Entry `i` of a sort, used `ageMs` ago. */
function entry(sort: string, i: number, ageMs: number): string {
  const path = join(images, key(sort, i))
  mkdirSync(path)
  writeFileSync(join(path, '.complete'), '')
  const time = new Date(Date.now() - ageMs)
  utimesSync(join(path, '.complete'), time, time)
  return path
}

const left = (sort: string): string[] => readdirSync(images).filter((name) => name.startsWith(`${sort}-`)).sort()

test('of each sort the five used last are kept, by themselves of the others', () => {
  for (let i = 0; i < 8; i++) entry('guest', i, i * hour)
  for (let i = 0; i < 6; i++) entry('boot-6.1', i, i * hour)
  for (let i = 0; i < 5; i++) entry('boot-5.10', i, i * hour)
  pruneSorts(images)
  expect(left('guest')).toEqual([0, 1, 2, 3, 4].map((i) => key('guest', i)))
  expect(left('boot-6.1')).toEqual([0, 1, 2, 3, 4].map((i) => key('boot-6.1', i)))
  expect(left('boot-5.10')).toHaveLength(5)
})

test('what was not used for a month goes, few or not', () => {
  entry('init', 1, 31 * 24 * hour)
  entry('init', 2, 29 * 24 * hour)
  pruneSorts(images)
  expect(left('init')).toEqual([key('init', 2)])
})

test('what a run uses stays until the run ends, however old it is', async () => {
  const used = entry('guest', 9, 40 * 24 * hour)
  for (let i = 0; i < 5; i++) entry('guest', i, i * hour)
  const { registry } = context()
  expect(useEntry({ registry }, used)).toBe(true)
  const old = new Date(Date.now() - 40 * 24 * hour)
  utimesSync(join(used, '.complete'), old, old)
  pruneSorts(images)
  expect(existsSync(used)).toBe(true)
  await registry.releaseAll()
  pruneSorts(images)
  expect(existsSync(used)).toBe(false)
})

test('a mark that nobody ended is not believed for ever', () => {
  const used = entry('guest', 9, 10 * hour)
  for (let i = 0; i < 5; i++) entry('guest', i, i * hour)
  useEntry(context(), used)
  const old = new Date(Date.now() - 10 * hour)
  utimesSync(join(used, '.complete'), old, old)
  pruneSorts(images, Date.now() + 3 * 24 * hour)
  expect(existsSync(used)).toBe(false)
})

test('using an entry counts: the one used least recently goes when a new one is made', async () => {
  for (let i = 0; i < 5; i++) entry('lash', i, (i + 1) * hour)
  const first = context()
  await cached(first, 'images', key('lash', 4), () => Promise.reject(new Error('it is there')))
  await first.registry.releaseAll()
  const path = await cached(context(), 'images', key('lash', 7), async (partial) => writeFileSync(join(partial, 'x'), ''))
  expect(existsSync(path)).toBe(true)
  expect(left('lash')).toEqual([0, 1, 2, 4, 7].map((i) => key('lash', i)))
})

test('an entry that is being made, and its lock, are left alone; what an interrupted pruning left is removed', () => {
  mkdirSync(join(images, `${key('guest', 1)}.partial`))
  mkdirSync(join(images, `${key('guest', 1)}.lock`))
  mkdirSync(join(images, `${key('guest', 2)}.leaving-00`))
  pruneSorts(images)
  expect(left('guest')).toEqual([`${key('guest', 1)}.lock`, `${key('guest', 1)}.partial`])
})

test('what is not there is not used, and not made by looking', async () => {
  const { registry } = context()
  expect(useEntry({ registry }, join(images, key('guest', 1)))).toBe(false)
  expect(readdirSync(images)).toEqual([])
  await registry.releaseAll()
})
