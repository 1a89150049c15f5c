import { expect, it } from 'vitest'
import type { SeededFault } from '../../agent/index.ts'
import { mutantsHtml } from '../../report/mutants/html.ts'
import { mutantsJunit } from '../../report/mutants/junit.ts'
import { mutantsMarkdown, mutantsText, verdictOf } from '../../report/mutants/text.ts'
import type { JudgedFault } from '../../report/mutants/types.ts'
import type { RunResult, TestResult } from '../../report/types.ts'
import { judge } from './judge.ts'
import { planMutants } from './plan.ts'

const fault: SeededFault = { name: 'forgets-drop', does: 'Denied packets are delivered.', caughtBy: ['policy', 'tunnels'] }
const test = (suite: string, status: TestResult['status'], rest: Partial<TestResult> = {}): TestResult => ({ suite, name: 'denies', status, ms: 5, ...rest })
const run = (outcome: RunResult['outcome'], tests: TestResult[], rest: Partial<RunResult> = {}): RunResult => ({ id: 'r', kernel: '6.1', release: '6.1.0', agent: 'lash with fault forgets-drop', startedAt: '', ms: 61_000, outcome, tests, timeline: [], command: 'npm run e2e -- --kernel 6.1 --fault forgets-drop', ...rest })
const judged = (outcome: RunResult['outcome'], tests: TestResult[], rest: Partial<RunResult> = {}): JudgedFault => judge({ fault }, run(outcome, tests, rest), 'forgets-drop')

const red = test('policy', 'failed', { by: 'assertion', message: 'expected a drop\nsaw none' })

it('is caught by the tests that failed by a verdict, whatever else failed', () => {
  expect(judged('failed', [red, test('policy', 'failed', { by: 'error', message: 'boom' }), test('tunnels', 'passed')])).toMatchObject({
    verdict: 'caught', caught: [{ suite: 'policy', tests: [{ name: 'denies', message: 'expected a drop\nsaw none', waited: false }] }], missed: ['tunnels'],
  })
  expect(judged('failed', [test('policy', 'failed', { by: 'wait' })])).toMatchObject({ verdict: 'caught', caught: [{ tests: [{ waited: true }] }] })
  // The agent died too, but a test had judged it before.
  expect(judged('error', [red], { error: 'error (agent): it logged what it must never log' }).verdict).toBe('caught')
})

it('is not told by a crash, a timeout, a run that broke, or tests that all were skipped', () => {
  expect(judged('failed', [test('policy', 'failed', { by: 'error', message: 'Test timed out in 240000ms.\nmore' })])).toMatchObject({ verdict: 'crashed', why: 'policy: denies: Test timed out in 240000ms.' })
  expect(judged('error', [], { error: 'error (hypervisor): QEMU ended\n  | more' })).toMatchObject({ verdict: 'crashed', why: 'error (hypervisor): QEMU ended' })
  expect(judged('failed', [test('policy', 'skipped', { message: 'needs map:lpm_trie' })], { error: 'error (test): no test ran' })).toMatchObject({ verdict: 'crashed', why: 'no test ran: needs map:lpm_trie' })
})

it('survives where all passes', () => {
  expect(judged('passed', [test('policy', 'passed'), test('policy', 'skipped', { message: 'needs x' })])).toMatchObject({ verdict: 'survived', why: '1 tests passed, 1 skipped: needs x', missed: ['policy'] })
})

it('runs a fault on the first kernel that its suites are for', () => {
  const cells = [{ name: '6.1', kernel: '6.1' }, { name: '4.4', kernel: '4.4' }]
  const refuses: SeededFault = { name: 'refuses-silently', does: 'It ends without a word.', caughtBy: ['refusal'] }
  const known = ['policy', 'refusal', 'tunnels']
  expect(planMutants([fault, refuses], cells, ({ caughtBy }) => caughtBy, known).map(({ cell }) => cell)).toEqual([{ name: 'forgets-drop', kernel: '6.1', kernelName: '6.1' }, { name: 'refuses-silently', kernel: '4.4', kernelName: '4.4' }])
  expect(planMutants([refuses], cells.slice(0, 1), ({ caughtBy }) => caughtBy, known)[0]?.notRun).toBe('refusal runs on no kernel asked for (6.1)')
  expect(planMutants([refuses], cells, () => [], known)[0]).toMatchObject({ cell: { kernel: '4.4' }, suites: [] })
})

it('is shown as a table, as Markdown, as a page and as JUnit', () => {
  const survivor: JudgedFault = { ...judged('passed', [test('policy', 'passed')]), name: 'leaks|identity' }
  const all: JudgedFault[] = [judged('failed', [red]), survivor, { ...fault, name: 'refuses', verdict: 'not run', why: 'no kernel', caught: [], missed: [] }]
  expect(verdictOf(all)).toBe('1 of 2 faults caught, 1 survived, 1 not run')
  const text = mutantsText(all, '.kernelbed/runs/x', 125_000)
  expect(text).toMatch(/^forgets-drop +✓ caught +policy: 1 test +1 min 01 s$/m)
  expect(text).toMatch(/forgets-drop: Denied packets are delivered\.\n {2}policy: denies\n {6}expected a drop\n/)
  expect(text).toMatch(/leaks\|identity: \.kernelbed\/runs\/x\/forgets-drop\n {4}repeat it: npm run e2e/)
  expect(text.trimEnd().split('\n').at(-1)).toBe('1 of 2 faults caught, 1 survived, 1 not run in 2 min 05 s')
  expect(mutantsMarkdown(all)).toContain('| leaks&#124;identity | ✗ survived |')
  expect(mutantsHtml(all, 1)).toContain('href="./forgets-drop/report.html"')
  const junit = mutantsJunit(all)
  expect(junit).toContain('tests="3" failures="1" skipped="1" errors="0"')
  expect(junit).toContain('<failure message="survived: 1 tests passed">')
})
