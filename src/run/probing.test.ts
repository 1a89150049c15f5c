import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Context } from '../core/context.ts'
import { LineProgress } from '../core/progress.ts'
import { Registry } from '../core/registry.ts'
import type { StartedMachine } from '../machine/index.ts'
import type { FeatureTable } from '../probe/index.ts'
import type { Prepared } from './prepare.ts'
import { probeAll, probeRestored } from './probing.ts'

const kernel = { name: 'mine', release: '6.1.0', line: '6.1' }
const prepared = { nodes: [] } as unknown as Prepared
let ctx: Context
let asked: string[]

/** A machine that has no command to run: probing it gives a table of unknowns. */
const machine = (name: string): StartedMachine => ({ name, handle: { name, kernel }, exec: () => (asked.push(name), Promise.reject(new Error('gone'))) }) as unknown as StartedMachine
const table = (node: string, state: 'supported' | 'unknown', name = 'map:hash'): FeatureTable => ({ node, kernel: { ...kernel, name: 'as saved' }, features: [{ name, state }] })

beforeEach(() => {
  const dir = mkdtempSync(join(tmpdir(), 'kb-probing-'))
  ctx = { registry: new Registry(), progress: new LineProgress(() => undefined), dir, sockets: dir, cache: dir, signal: new AbortController().signal }
  asked = []
})
afterEach(() => rmSync(ctx.dir, { recursive: true, force: true }))

it('a restored machine is not asked again, and has the name of its kernel in this run', async () => {
  const tables = await probeRestored([machine('node1')], [table('node1', 'supported'), table('node9', 'supported')], prepared, ctx)
  expect(tables).toEqual([{ ...table('node1', 'supported'), kernel }])
  expect(asked).toEqual([])
  expect(JSON.parse(readFileSync(join(ctx.dir, 'features.json'), 'utf8'))).toEqual([{ name: 'map:hash', state: 'supported' }])
})

it('a config that its kernel does not show is no reason to ask again', async () => {
  await probeRestored([machine('node1')], [table('node1', 'unknown', 'config:VXLAN')], prepared, ctx)
  expect(asked).toEqual([])
})

it.each([
  ['could not be told', [table('node1', 'supported'), table('node2', 'unknown')]],
  ['was never saved', [table('node1', 'supported')]],
])('what %s is asked of all', async (_what, saved) => {
  await probeRestored([machine('node1'), machine('node2')], saved, prepared, ctx)
  expect(asked.sort()).toEqual(['node1', 'node2'])
})

it('a machine that does not boot is left out, and nothing is written for none', async () => {
  expect(await probeAll([Promise.reject(new Error('no boot'))], prepared, ctx)).toEqual([])
  expect(existsSync(join(ctx.dir, 'features.json'))).toBe(false)
})
