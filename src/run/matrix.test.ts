import { execa } from 'execa'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { processesOf } from '../core/owned.ts'
import { waitFor } from '../core/wait.ts'
import type { RunResult } from '../report/types.ts'

// Each test starts five processes and more, beside whatever else the machine does.
vi.setConfig({ testTimeout: 90_000 })

let work = ''
beforeEach(() => (work = mkdtempSync(join(tmpdir(), 'kb-matrix-'))))
afterEach(() => rmSync(work, { recursive: true, force: true }))

const start = (jobs: number, ...cells: string[]) =>
  execa(process.execPath, [join(import.meta.dirname, 'testing/fake-matrix.ts'), String(jobs), ...cells], { cwd: work, reject: false, all: true, env: { CI: 'true' }, cleanup: false })

const runs = (): string => join(work, '.kernelbed/runs')
const matrixDir = (): string => join(runs(), readdirSync(runs())[0]!)
const resultOf = (cell: string): RunResult => JSON.parse(readFileSync(join(matrixDir(), cell, 'result.json'), 'utf8')) as RunResult

/** Everything alive of the matrix and its cells: all carry an id in their environment; reapers are found by their argument. */
function alive(id: string): number[] {
  const cells = readdirSync(join(runs(), id), { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => `${id}/${entry.name}`)
  const reapers = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
      return args[1]?.endsWith('reaper-main.ts') && [id, ...cells].includes(args[2] ?? '')
    } catch {
      return false
    }
  })
  return [...[id, ...cells].flatMap(processesOf), ...reapers]
}

/** Waits until this many cells run, and answers the matrix's id. */
async function begun(cells: number, child: { readonly exitCode: number | null | undefined }): Promise<string> {
  await waitFor({ name: `${cells} cells to run`, timeoutMs: 20_000, intervalMs: 50 }, () => {
    if (child.exitCode !== undefined && child.exitCode !== null) return { done: undefined }
    const now = existsSync(join(work, 'meeting')) ? readdirSync(join(work, 'meeting')).length : 0
    return now >= cells ? { done: undefined } : { seen: String(now) }
  })
  return readdirSync(runs())[0]!
}

test('cells run side by side, never more than --jobs; results are merged; all green is exit code 0', async () => {
  const done = await start(2, 'meets-1', 'meets-2', 'meets-3', 'meets-4')
  expect(done.all).toMatch(/all 4 kernels passed: 4 passed, 0 failed/)
  expect(done.exitCode).toBe(0)
  // Each cell wrote how many were there when it began.
  expect(readFileSync(join(work, 'begun.log'), 'utf8').trim().split('\n').map(Number).reduce((a, b) => Math.max(a, b))).toBe(2)
  const junit = readFileSync(join(matrixDir(), 'junit.xml'), 'utf8')
  for (const i of [1, 2, 3, 4]) expect(junit).toContain(`name="is told [meets-${i}]"`)
  expect(readFileSync(join(matrixDir(), 'report.html'), 'utf8')).toContain('all 4 runs passed')
  expect(readFileSync(join(matrixDir(), 'summary.md'), 'utf8')).toContain('| **meets-1** meets-1.1 | ✓ passed | 1 ✓ 0.01 s |')
  expect(readdirSync(join(matrixDir(), 'meets-1'))).toEqual(expect.arrayContaining(['junit.xml', 'logs', 'report.html', 'result.json']))
  expect(alive(readdirSync(runs())[0]!)).toEqual([])
})

test('every line says which kernel it is about; what is shared is made first', async () => {
  const { all } = await start(1, 'passes', 'absent-1')
  const lines = all.split('\n')
  expect(lines[0]).toMatch(/^✓ shared images/)
  expect(lines[1]).toMatch(/^matrix \S+: 1 kernel, 1 at a time; 1 not available$/)
  expect(lines).toContain('absent-1 | not available: it is not in Debian')
  expect(all).toMatch(/^passes {3}\| ✓ boot node1/m)
  expect(all).toMatch(/^passes {3}\| passed: 1 passed, 0 failed in/m)
  expect(resultOf('absent-1')).toMatchObject({ outcome: 'unavailable', error: 'it is not in Debian' })
})

test('the exit code is the worst of the cells', async () => {
  expect((await start(3, 'fails', 'breaks', 'passes', 'absent')).exitCode).toBe(3)
})

test('a cell that dies without a word is red, with what it had told; the others go on', async () => {
  const done = await start(1, 'dies', 'passes')
  expect(done.exitCode).toBe(3)
  const result = resultOf('dies')
  expect(result).toMatchObject({ outcome: 'error', release: 'dies.1', tests: [{ name: 'is told', status: 'passed' }] })
  expect(result.error).toMatch(/the process of kernel dies was killed by SIGKILL\n[\s\S]*✓ boot node1[\s\S]*→ .*memory/)
  expect(result.timeline).toMatchObject([{ name: 'boot node1', ok: true }, { name: 'suites', ok: false, note: 'not ended: about to die' }])
  expect(resultOf('passes').outcome).toBe('passed')
  expect(readFileSync(join(matrixDir(), 'junit.xml'), 'utf8')).toMatch(/errors="1"[\s\S]*run \[dies\]/)
  expect(alive(readdirSync(runs())[0]!)).toEqual([])
})

test('a result that its process did not end with is not believed', async () => {
  const done = await start(1, 'lies')
  expect(done.exitCode).toBe(3)
  expect(resultOf('lies').error).toMatch(/ended with exit code 7 although its result is "passed"/)
})

test('Ctrl-C ends every cell, kills one that does not end, begins no other, and is exit code 130', async () => {
  const child = start(2, 'waits', 'hangs', 'passes')
  const id = await begun(2, child)
  child.kill('SIGINT')
  const done = await child
  expect(done.exitCode).toBe(130)
  expect(alive(id)).toEqual([])
  expect(done.all.match(/SIGINT: stopping/g)).toHaveLength(1)
  expect(resultOf('waits')).toMatchObject({ outcome: 'stopped', tests: [{ status: 'passed' }] })
  expect(resultOf('hangs')).toMatchObject({ outcome: 'stopped', error: 'it did not end within 1.5 s of being asked to, and was killed' })
  expect(resultOf('passes')).toMatchObject({ outcome: 'stopped', error: 'not begun', tests: [] })
  expect(done.all).toMatch(/0 of 3 kernels passed/)
})

test('a terminal that is closed stops the run, which still writes its results', async () => {
  const child = start(2, 'passes', 'waits')
  const id = await begun(1, child)
  await waitFor({ name: 'the first cell to end', timeoutMs: 20_000, intervalMs: 50 }, () => (existsSync(join(runs(), id, 'passes/result.json')) ? { done: true } : { seen: 'no result' }))
  child.stdout.destroy()
  child.stderr.destroy()
  child.kill('SIGHUP')
  expect((await child).exitCode).toBe(130)
  expect(resultOf('waits').outcome).toBe('stopped')
  expect(readFileSync(join(matrixDir(), 'junit.xml'), 'utf8')).toContain('name="is told [passes]"')
  expect(alive(id)).toEqual([])
})

test('SIGKILL of the matrix ends all cells and what they started within 10 s', async () => {
  const child = start(2, 'waits', 'hangs')
  const id = await begun(2, child)
  expect(alive(id).length).toBeGreaterThanOrEqual(7)
  child.kill('SIGKILL')
  await child
  await waitFor({ name: 'nothing to be left', timeoutMs: 10_000, intervalMs: 50 }, () => (alive(id).length === 0 ? { done: true } : { seen: alive(id).join(' ') }))
})
