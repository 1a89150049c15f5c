import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { LineProgress } from '../../core/progress.ts'
import { Registry } from '../../core/registry.ts'
import { unpackBaked } from './pod-cache.ts'

const dir = mkdtempSync(join(tmpdir(), 'kb-baked-'))
afterAll(() => rmSync(dir, { recursive: true }))

test('entries that are missing come out of the image, with their holes; those that are there stay', async () => {
  const from = join(dir, 'from')
  for (const entry of ['images/guest-1', 'images/lash-2', 'kernels/k']) {
    mkdirSync(join(from, entry), { recursive: true })
    writeFileSync(join(from, entry, '.complete'), '')
    writeFileSync(join(from, entry, 'what'), 'baked')
  }
  writeFileSync(join(from, 'images/guest-1/disk.raw'), '')
  truncateSync(join(from, 'images/guest-1/disk.raw'), 64 * 2 ** 20)
  const baked = { tar: join(dir, 'cache.tar'), list: join(dir, 'cache.json') }
  execFileSync('tar', ['-C', from, '--sparse', '-cf', baked.tar, 'images/guest-1', 'images/lash-2', 'kernels/k'])
  writeFileSync(baked.list, JSON.stringify(['images/guest-1', 'images/lash-2', 'kernels/k']))
  const cache = join(dir, 'cache')
  mkdirSync(join(cache, 'images/lash-2'), { recursive: true })
  writeFileSync(join(cache, 'images/lash-2/.complete'), '')
  writeFileSync(join(cache, 'images/lash-2/what'), 'own')
  const ctx = { registry: new Registry(), progress: new LineProgress(() => undefined), dir, sockets: dir, cache, signal: new AbortController().signal }
  // Two pods that share a volume.
  await Promise.all([unpackBaked(ctx, baked), unpackBaked(ctx, baked)])
  expect(readFileSync(join(cache, 'images/lash-2/what'), 'utf8')).toBe('own')
  expect(readFileSync(join(cache, 'kernels/k/what'), 'utf8')).toBe('baked')
  const disk = statSync(join(cache, 'images/guest-1/disk.raw'))
  expect(disk.size).toBe(64 * 2 ** 20)
  expect(disk.blocks * 512).toBeLessThan(2 ** 20)
  expect(readdirSync(cache).sort()).toEqual(['images', 'kernels'])
})
