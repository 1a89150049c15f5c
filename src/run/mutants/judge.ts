import { isVerdict } from '../../report/failed-by.ts'
import type { CaughtBy, JudgedFault } from '../../report/mutants/types.ts'
import type { RunResult, TestResult } from '../../report/types.ts'
import type { Mutant } from './plan.ts'

/**
 * What a run says of its fault. A test that failed by an assertion, or by a wait for something the agent must do, is a verdict; whatever else ended a test or the run (a crash, a
 * timeout of Vitest, a machine that died) judges nothing. `folder`: of the run.
 */
export function judge({ fault }: Pick<Mutant, 'fault'>, result: RunResult, folder: string): JudgedFault {
  const failed = result.tests.filter(({ status }) => status === 'failed')
  const caught = bySuite(failed.filter(isVerdict))
  const missed = [...new Set(result.tests.map(({ suite }) => suite))].filter((suite) => fault.caughtBy.includes(suite) && !caught.some((one) => one.suite === suite))
  const about = { ...fault, caught, missed, result, folder }
  if (result.outcome === 'stopped') return { ...about, verdict: 'not run', why: 'stopped' }
  if (caught.length > 0) return { ...about, verdict: 'caught' }
  if (failed.length > 0) return { ...about, verdict: 'crashed', why: `${failed[0]!.suite}: ${failed[0]!.name}: ${firstLine(failed[0]!.message)}` }
  const skipped = result.tests.filter(({ status }) => status === 'skipped')
  if (result.outcome === 'passed') return { ...about, verdict: 'survived', why: `${result.tests.length - skipped.length} tests passed${skipped.length ? `, ${skipped.length} skipped: ${firstLine(skipped[0]!.message)}` : ''}` }
  const why = skipped.length && skipped.length === result.tests.length ? `no test ran: ${firstLine(skipped[0]!.message)}` : firstLine(result.error)
  return { ...about, verdict: 'crashed', why }
}

const bySuite = (tests: readonly TestResult[]): CaughtBy[] => [...Map.groupBy(tests, ({ suite }) => suite)].map(([suite, all]) => ({ suite, tests: all.map(({ name, message = '', by }) => ({ name, message, waited: by === 'wait' })) }))

const firstLine = (text: string | undefined): string => text?.split('\n')[0] ?? 'no reason was told'
