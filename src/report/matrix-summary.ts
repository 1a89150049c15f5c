import { duration } from './html/format.ts'
import { counts } from './summary.ts'
import { brokenBy, matrixTable, noteLines, outcomeText, tallyText, verdictOf } from './table.ts'
import type { RunResult, TestResult } from './types.ts'

export interface MatrixPlace {
  /** Folder of the matrix. */
  readonly dir: string
  /** Folder of a run in it. */
  readonly folder: (run: RunResult) => string
  /** Length of the whole. */
  readonly ms: number
}

/** Lines of a failure's message that are shown; the report has all. */
const MESSAGE_LINES = 40

/** What a person reads when a matrix has ended: kernel × suite, then what failed and how to look further, the verdict last. */
export function matrixSummary(runs: readonly RunResult[], place: MatrixPlace): string {
  const parts = [textTable(runs), ...noteLines(runs)]
  for (const same of Map.groupBy(runs.filter((run) => brokenBy(run) !== undefined), brokenBy).values()) {
    parts.push(`! ${same.map((run) => run.kernel).join(', ')}: the run itself\n${indent(clip(same[0]!.error!))}`)
  }
  const failed = runs.flatMap((run) => run.tests.filter((test) => test.status === 'failed').map((test) => ({ run, test })))
  for (const same of Map.groupBy(failed, ({ test }) => JSON.stringify([test.suite, test.message])).values()) parts.push(failure(same))
  const broken = runs.filter((run) => run.outcome === 'failed' || run.outcome === 'error')
  if (broken.length) parts.push(['to look further:', ...broken.flatMap((run) => [`  ${run.kernel}: ${place.dir}/${place.folder(run)} (consoles, logs, monitor events, pcaps, evidence)`, `    repeat it:   ${run.command}`, `    look inside: ${run.command} --keep, then npm run shell -- node1, npm run kubectl -- get pods -A`])].join('\n'))
  parts.push(`report: ${place.dir}/report.html`)
  parts.push(`${verdictOf(runs)}: ${counts(runs.flatMap((run) => run.tests))} in ${duration(place.ms)}`)
  return `\n${parts.join('\n\n')}\n`
}

function textTable(runs: readonly RunResult[]): string {
  const { suites, rows } = matrixTable(runs)
  const lines = [['kernel', 'run', ...suites, 'time'], ...rows.map(({ run, tallies }) => [run.kernel, outcomeText[run.outcome], ...tallies.map((tally) => (run.outcome === 'unavailable' ? '' : tallyText(tally))), run.outcome === 'unavailable' ? (run.error ?? '') : duration(run.ms)])]
  const widths = lines[0]!.map((_, i) => Math.max(...lines.map((line) => (i === line.length - 1 ? 0 : line[i]!.length))))
  // Why a kernel is not available follows its outcome at once, across the columns of the suites.
  return lines.map((line) => (line[1] === outcomeText.unavailable ? [line[0]!.padEnd(widths[0]!), `${line[1]}: ${line.at(-1)}`] : line.map((text, i) => text.padEnd(widths[i]!))).join('  ').trimEnd()).join('\n')
}

/** The same message, be it of several kernels or of several tests that wait for the same thing, is told once. */
function failure(same: readonly { readonly run: RunResult; readonly test: TestResult }[]): string {
  const names = [...Map.groupBy(same, ({ test }) => `${test.suite}: ${test.name}${test.location ? ` (${test.location})` : ''}`)]
  return `${names.map(([name, of]) => `✗ ${of.map(({ run }) => run.kernel).join(', ')}: ${name}`).join('\n')}\n${indent(clip(same[0]!.test.message ?? 'failed'))}`
}

const indent = (text: string): string => text.replace(/^(?=.)/gm, '    ')

function clip(text: string): string {
  const lines = text.trimEnd().split('\n')
  return lines.length <= MESSAGE_LINES ? lines.join('\n') : `${lines.slice(0, MESSAGE_LINES).join('\n')}\n… ${lines.length - MESSAGE_LINES} more lines are in the report`
}
