import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { assertSums, assertWhole, sums } from './snapshot.ts'

let dir: string

const { signal } = new AbortController()

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'kb-saved-'))
  writeFileSync(join(dir, 'state'), Buffer.alloc(4096))
  writeFileSync(join(dir, 'machine.json'), JSON.stringify({ name: 'node1', files: await sums(dir, ['state'], { signal }) }))
})

afterEach(() => rmSync(dir, { recursive: true, force: true }))

it('takes a saved machine whose files are as they were', async () => {
  expect(() => assertWhole(dir)).not.toThrow()
  await expect(assertSums(dir, { signal })).resolves.toBeUndefined()
})

it('refuses one whose memory is as long as it was, but another', async () => {
  const state = Buffer.alloc(4096)
  state[2000] = 1
  writeFileSync(join(dir, 'state'), state)
  expect(() => assertWhole(dir)).not.toThrow()
  await expect(assertSums(dir, { signal })).rejects.toThrow(/state has other content than it was saved with/)
})

it.each<[string, () => void, RegExp]>([
  ['cut short', () => truncateSync(join(dir, 'state'), 100), /state has 100 bytes, not the 4096 it was saved with/],
  ['gone', () => rmSync(join(dir, 'state')), /state is missing/],
  ['without its list of files', () => rmSync(join(dir, 'machine.json')), /machine\.json is missing or damaged/],
  ['with a damaged list of files', () => writeFileSync(join(dir, 'machine.json'), '{"name"'), /machine\.json is missing or damaged/],
])('refuses one that is %s', (_what, damage, message) => {
  damage()
  expect(() => assertWhole(dir)).toThrow(message)
})
