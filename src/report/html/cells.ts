import type { ReportCell } from '../load.ts'
import type { TestResult } from '../types.ts'
import { compareKernels } from './format.ts'

/** A run as it is named in the page. */
export interface Run extends ReportCell {
  /** Id of its section. */
  readonly anchor: string
  /** The kernel, with the agent where the report has several. */
  readonly label: string
}

/** Tests of one suite in one run. */
export interface SuiteTests {
  readonly suite: string
  readonly tests: readonly TestResult[]
}

/** Runs in the order of the page: by kernel, then agent, then start. */
export function inOrder(cells: readonly ReportCell[]): Run[] {
  const agents = new Set(cells.map((cell) => cell.result.agent))
  return [...cells]
    .sort((a, b) => compareKernels(a.result.kernel, b.result.kernel) || a.result.agent.localeCompare(b.result.agent) || a.result.startedAt.localeCompare(b.result.startedAt))
    .map((cell, i) => ({ ...cell, anchor: `run-${i + 1}`, label: agents.size > 1 ? `${cell.result.kernel}, ${cell.result.agent}` : cell.result.kernel }))
}

/** The run's suites in the order they ran. */
export function suitesOf(run: ReportCell): SuiteTests[] {
  const names = [...new Set(run.result.tests.map((test) => test.suite))]
  return names.map((suite) => ({ suite, tests: run.result.tests.filter((test) => test.suite === suite) }))
}

/** A suite is as good as its worst test; all skipped is skipped. */
export function statusOf(tests: readonly TestResult[]): TestResult['status'] {
  if (tests.some((test) => test.status === 'failed')) return 'failed'
  return tests.some((test) => test.status === 'passed') ? 'passed' : 'skipped'
}

/** Anchors within a run's section. */
export const testAnchor = (run: Run, test: TestResult): string => `${run.anchor}-test-${run.result.tests.indexOf(test) + 1}`
export const suiteAnchor = (run: Run, suite: string): string => `${run.anchor}-suite-${suitesOf(run).findIndex((entry) => entry.suite === suite) + 1}`
