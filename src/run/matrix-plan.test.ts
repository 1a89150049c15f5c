import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { usageError } from '../core/errors.ts'
import { catalogueNames } from '../kernels/index.ts'
import { defaultJobs } from './matrix-jobs.ts'
import { folderOf, planCells } from './matrix-plan.ts'

const dir = mkdtempSync(join(tmpdir(), 'kb-plan-'))
const file = join(dir, 'image')
afterAll(() => rmSync(dir, { recursive: true }))
// As much of a bzImage as its header.
const image = Buffer.alloc(4096)
image.writeUInt8(4, 0x1f1)
image.write('HdrS', 0x202, 'latin1')
image.writeUInt16LE(0x300, 0x20e)
image.write('4.9.154 (x@y) #1', 0x500, 'latin1')
writeFileSync(file, image)

test('"all" is every catalogue line in its order; none is needed', () => {
  const cells = planCells(['all'])
  expect(cells.map(({ name }) => name)).toEqual(catalogueNames)
  expect(cells.every((cell) => cell.optional)).toBe(true)
  expect(cells.find(({ name }) => name === '6.1')).toEqual({ name: '6.1', kernel: '6.1', optional: true })
})

test('a line that is also named is run as named, where the line would be; names of one\'s own come last', () => {
  const cells = planCells([`mine=${file}`, 'all', `4.9=${file}`])
  expect(cells.map(({ name }) => name)).toEqual([...catalogueNames, 'mine'])
  expect(cells.find(({ name }) => name === '4.9')).toEqual({ name: '4.9', kernel: `4.9=${file}` })
})

test('a line of "all" with nothing to run says so; one that is named is a usage error', () => {
  const check = (kernel: string): void => {
    if (kernel.startsWith('6.1')) throw usageError(`no suite to run on ${kernel}`)
  }
  expect(planCells(['all'], {}, check).find(({ name }) => name === '6.1')).toEqual({ name: '6.1', kernel: '6.1', unavailable: 'no suite to run on 6.1' })
  expect(() => planCells(['6.1'], {}, check)).toThrow('no suite to run on 6.1')
})

test('the same name twice is a usage error that says how to tell them apart', () => {
  expect(() => planCells(['6.1', `6.1=${file}`])).toThrow('two kernels are called 6.1')
  expect(() => planCells(['6.1', '6.1'])).toThrow('two kernels are called 6.1')
})

test('--modules goes with no catalogue line', () => {
  expect(() => planCells(['all'], { modules: '/lib/modules' })).toThrow('not with "all"')
})

test('folders: names become safe, and differ where names do', () => {
  const cells = ['4.9', 'a b', 'a/b', '..', '4.9+6.1'].map((name) => ({ name, kernel: name }))
  expect(cells.map((cell) => folderOf(cell, cells))).toEqual(['4.9', 'a_b_1', 'a_b_2', '_', '4.9+6.1'])
})

test.each([
  [{ cores: 2, memoryMiB: 18_000 }, 2],
  [{ cores: 8, memoryMiB: 64_000 }, 8],
  [{ cores: 64, memoryMiB: 10_000 }, 2],
  [{ cores: 64, memoryMiB: 1_000_000 }, 11],
  [{ cores: 1, memoryMiB: 500 }, 1],
])('on a host of %j, %i of 11 cells run at a time', (host, jobs) => {
  expect(defaultJobs(11, { nodes: 2, memoryMiB: 1536 }, host)).toBe(jobs)
})
