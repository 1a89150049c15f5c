import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { annotations, tellGithub } from './github.ts'
import { markdownSummary } from './markdown.ts'
import { matrixSummary } from './matrix-summary.ts'
import type { RunResult, TestResult } from './types.ts'

const passed: TestResult = { suite: 'policy', name: 'drops', status: 'passed', ms: 1000 }
const failed: TestResult = { suite: 'tunnels', name: 'vni | <b>', status: 'failed', ms: 2000, message: 'expected VNI 7\n```\nsaw 8', location: 'suites/tunnels.test.ts:9' }
const run = (kernel: string, rest: Partial<RunResult> = {}): RunResult => ({ id: `r/${kernel}`, kernel, release: `${kernel}.1`, agent: 'lash', startedAt: '2026-01-01T00:00:00Z', ms: 61_000, outcome: 'passed', tests: [passed], timeline: [], command: `npm run e2e -- --kernel ${kernel}`, ...rest })
const runs: readonly RunResult[] = [
  run('6.1', { tests: [passed, failed], outcome: 'failed' }),
  run('4.14', { tests: [passed, failed, { ...failed, name: 'skips', status: 'skipped' }], outcome: 'failed' }),
  run('4.9'),
  run('5.10', { tests: [], outcome: 'error', error: 'error (hypervisor): QEMU ended\n  → look at it' }),
  run('4.4', { tests: [], outcome: 'unavailable', error: 'kernel 4.4 is not in Debian' }),
]
const place = { dir: '.kernelbed/runs/m', folder: ({ kernel }: RunResult) => kernel, ms: 200_000 }

test('the console has kernel by suite in order of version, with counts and times, and says what did not run', () => {
  const table = matrixSummary(runs, place).trim().split('\n\n')[0]!.split('\n')
  expect(table).toEqual([
    'kernel  run       policy     tunnels         time',
    '4.4     – not available: kernel 4.4 is not in Debian',
    '4.9     ✓ passed  1 ✓ 1.0 s  not run         1 min 01 s',
    '4.14    ✗ failed  1 ✓ 1.0 s  1 ✗ 1 – 4.0 s   1 min 01 s',
    '5.10    ! error   not run    not run         1 min 01 s',
    '6.1     ✗ failed  1 ✓ 1.0 s  1 ✗ 2.0 s       1 min 01 s',
  ].map((line) => expect.stringMatching(new RegExp(`^${line.replace(/[.|()]/g, '\\$&').replace(/ {2,}/g, ' +')}$`)) as string))
})

test('a failure of several kernels is told once, with each kernel and the commands that go further; the verdict is last', () => {
  const text = matrixSummary(runs, place)
  expect(text.match(/expected VNI 7/g)).toHaveLength(1)
  expect(text).toMatch(/✗ 6\.1, 4\.14: tunnels: vni \| <b> \(suites\/tunnels\.test\.ts:9\)\n {4}expected VNI 7\n/)
  expect(text).toContain('! 5.10: the run itself\n    error (hypervisor): QEMU ended')
  expect(text).toContain('repeat it:   npm run e2e -- --kernel 4.14\n')
  expect(text).toContain('  6.1: .kernelbed/runs/m/6.1 (')
  expect(text.trim().split('\n').at(-1)).toBe('1 of 4 kernels passed, 1 not available: 3 passed, 2 failed, 1 skipped in 3 min 20 s')
})

test('a refusal that was expected is told, and its suites that did not run have columns', () => {
  const refused = run('4.4', { tests: [{ ...passed, suite: 'refusal' }], note: 'refused, as expected: level=fatal', notRun: [{ suite: 'policy', reason: 'the agent must refuse to start on 4.4' }] })
  expect(matrixSummary([refused], place)).toMatch(/^\nkernel +run +policy +refusal +time\n4\.4 +✓ passed +not run +1 ✓ 1\.0 s .*\n\n4\.4: refused, as expected: level=fatal\n/)
  expect(markdownSummary([refused])).toContain('\n4.4: refused, as expected: level=fatal\n')
})

test('tests that fail with the same words share them', () => {
  const text = matrixSummary([run('6.1', { outcome: 'failed', tests: [failed, { ...failed, name: 'other' }] })], place)
  expect(text).toMatch(/✗ 6\.1: tunnels: vni .*\n✗ 6\.1: tunnels: other .*\n {4}expected VNI 7\n/)
  expect(text.match(/expected VNI 7/g)).toHaveLength(1)
})

test('Markdown: text of a run ends no cell, no fence and makes no markup', () => {
  const text = markdownSummary(runs)
  expect(text).toContain('## kernelbed: 1 of 4 kernels passed, 1 not available')
  expect(text).toContain('| **4.9** 4.9.1 |')
  expect(text).toContain('<details><summary>✗ 6.1: tunnels: vni &#124; &#60;b&#62;</summary>\n\n````\nexpected VNI 7\n```\nsaw 8\nat suites/tunnels.test.ts:9\n````')
  expect(text).toContain('– not available: kernel 4.4 is not in Debian')
  expect(new Set(text.split('\n').filter((line) => line.startsWith('|')).map((line) => line.split('|').length))).toEqual(new Set([7]))
})

test('Markdown stays below what GitHub takes, and says what it left out', () => {
  const many = run('6.1', { outcome: 'failed', tests: Array.from({ length: 400 }, (_, i) => ({ ...failed, name: `t${i}`, message: 'x'.repeat(9000) })) })
  const text = markdownSummary([many])
  expect(Buffer.byteLength(text)).toBeLessThan(1024 * 1024)
  expect(text).toMatch(/\n\d+ more failures are in the report\.\n$/)
})

test('in a GitHub step the summary is appended and failures become annotations; elsewhere nothing happens', () => {
  const dir = mkdtempSync(join(tmpdir(), 'kb-github-'))
  const file = join(dir, 'summary.md')
  writeFileSync(file, 'before\n')
  let printed = ''
  tellGithub(runs, {}, (text) => (printed += text))
  expect(printed).toBe('')
  tellGithub(runs, { GITHUB_STEP_SUMMARY: file, GITHUB_ACTIONS: 'true' }, (text) => (printed += text))
  expect(readFileSync(file, 'utf8')).toMatch(/^before\n## kernelbed/)
  expect(printed.split('\n')[0]).toBe('::error file=suites/tunnels.test.ts,line=9,title=6.1%3A tunnels%3A vni | <b>::expected VNI 7%0A```%0Asaw 8')
  expect(printed).toContain('::error title=5.10%3A the run itself::error (hypervisor): QEMU ended%0A')
  tellGithub(runs, { GITHUB_STEP_SUMMARY: join(dir, 'no/such') }, (text) => (printed += text))
  expect(printed).toContain('could not be written')
  rmSync(dir, { recursive: true })
})

test('annotations: no more than GitHub shows, and none when all passed', () => {
  expect(annotations([run('4.9')])).toBe('')
  expect(annotations([run('6.1', { tests: Array.from({ length: 30 }, () => failed) })]).trim().split('\n')).toHaveLength(10)
})
