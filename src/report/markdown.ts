import { duration } from './html/format.ts'
import { counts } from './summary.ts'
import { brokenBy, matrixTable, noteLines, outcomeText, tallyText, verdictOf } from './table.ts'
import type { RunResult } from './types.ts'

/** GitHub refuses a step's summary above 1 MiB. */
const MAX_BYTES = 1000 * 1024
const MAX_MESSAGE = 8000

/** The matrix as GitHub's Markdown: kernel × suite, then each failure folded. Failures beyond what a step's summary may hold are counted instead. */
export function markdownSummary(runs: readonly RunResult[]): string {
  const head = `## kernelbed: ${verdictOf(runs)}\n\n${counts(runs.flatMap((run) => run.tests))}\n\n${table(runs)}\n${noteLines(runs).map((line) => `\n${inline(line)}\n`).join('')}`
  const failures = runs.flatMap((run) => [
    ...[brokenBy(run)].filter((error) => error !== undefined).map((error) => failure(`! ${run.kernel}: the run itself`, error, run)),
    ...run.tests.filter((test) => test.status === 'failed').map((test) => failure(`✗ ${run.kernel}: ${test.suite}: ${test.name}`, `${test.message ?? 'failed'}${test.location ? `\nat ${test.location}` : ''}`, run)),
  ])
  let text = head
  for (const [i, part] of failures.entries()) {
    if (Buffer.byteLength(text) + Buffer.byteLength(part) > MAX_BYTES) return `${text}\n${failures.length - i} more failures are in the report.\n`
    text += `\n${part}`
  }
  return text
}

function table(runs: readonly RunResult[]): string {
  const { suites, rows } = matrixTable(runs)
  const lines = [['kernel', 'run', ...suites, 'time'], ['---', '---', ...suites.map(() => '---'), '--:'], ...rows.map(({ run, tallies }) => [
    `**${inline(run.kernel)}**${run.release === run.kernel || run.outcome === 'unavailable' ? '' : ` ${inline(run.release)}`}`,
    run.outcome === 'unavailable' ? `${outcomeText.unavailable}: ${inline(run.error ?? '')}` : outcomeText[run.outcome],
    ...tallies.map((tally) => (run.outcome === 'unavailable' ? '' : tallyText(tally))),
    run.outcome === 'unavailable' ? '' : duration(run.ms),
  ])]
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

/** Text within a line: nothing in it is markup, and no pipe ends a cell. */
export const inline = (text: string): string => text.replace(/[\r\n]+/g, ' ').replace(/[\\`*_[\]<>|#~&]/g, (c) => `&#${c.charCodeAt(0)};`)

function failure(title: string, message: string, run: RunResult): string {
  const text = message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE)}\n…` : message
  return `<details><summary>${inline(title)}</summary>\n\n${fenced(text)}\n\nRepeat it:\n\n${fenced(run.command)}\n\n</details>\n`
}

/** A fence longer than any in the text. */
export function fenced(text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length))
  const fence = '`'.repeat(longest + 1)
  return `${fence}\n${text.trimEnd()}\n${fence}`
}
