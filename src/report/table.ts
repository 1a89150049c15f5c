import { compareKernels, duration } from './html/format.ts'
import type { RunResult, TestResult } from './types.ts'

/** Tests of one suite in one run. */
export interface SuiteTally {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  readonly ms: number
}

/** Kernel × suite. */
export interface MatrixTable {
  /** By name. */
  readonly suites: readonly string[]
  /** Runs by kernel, with a tally for each of `suites`; undefined where the suite did not run. */
  readonly rows: readonly { readonly run: RunResult; readonly tallies: readonly (SuiteTally | undefined)[] }[]
}

export function matrixTable(runs: readonly RunResult[]): MatrixTable {
  const suites = [...new Set(runs.flatMap((run) => [...run.tests, ...(run.notRun ?? [])].map(({ suite }) => suite)))].sort()
  const ordered = [...runs].sort((a, b) => compareKernels(a.kernel, b.kernel))
  return { suites, rows: ordered.map((run) => ({ run, tallies: suites.map((suite) => tally(run.tests.filter((test) => test.suite === suite))) })) }
}

function tally(tests: readonly TestResult[]): SuiteTally | undefined {
  if (tests.length === 0) return undefined
  const count = (status: TestResult['status']): number => tests.filter((test) => test.status === status).length
  return { passed: count('passed'), failed: count('failed'), skipped: count('skipped'), ms: tests.reduce((ms, test) => ms + test.ms, 0) }
}

/** `10 ✓ 2 ✗ 1 – 41.0 s`. */
export function tallyText(found: SuiteTally | undefined): string {
  if (!found) return 'not run'
  const parts = [found.passed ? `${found.passed} ✓` : '', found.failed ? `${found.failed} ✗` : '', found.skipped ? `${found.skipped} –` : ''].filter(Boolean)
  return `${parts.join(' ')} ${duration(found.ms)}`
}

export const outcomeText: Readonly<Record<RunResult['outcome'], string>> = { passed: '✓ passed', failed: '✗ failed', error: '! error', stopped: '■ stopped', unavailable: '– not available' }

/** What is worth knowing of runs that passed, a line each: `4.4: refused, as expected: …`. */
export const noteLines = (runs: readonly RunResult[]): string[] => runs.flatMap((run) => (run.note === undefined ? [] : [`${run.kernel}: ${run.note}`]))

/** What went wrong with the run beside its tests. */
export const brokenBy = (run: RunResult): string | undefined => (run.outcome === 'failed' || run.outcome === 'error' ? run.error : undefined)

/** `all 3 kernels passed`, `1 of 3 kernels passed, 2 not available`. */
export function verdictOf(runs: readonly RunResult[]): string {
  const ran = runs.filter((run) => run.outcome !== 'unavailable')
  const passed = ran.filter((run) => run.outcome === 'passed').length
  const out = runs.length - ran.length
  const noun = ran.length === 1 ? 'kernel' : 'kernels'
  const main = ran.length === 0 ? 'no kernel ran' : passed === ran.length && passed > 1 ? `all ${passed} kernels passed` : `${passed} of ${ran.length} ${noun} passed`
  return `${main}${out ? `, ${out} not available` : ''}`
}
