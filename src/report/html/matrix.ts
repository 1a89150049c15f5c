import type { TestResult } from '../types.ts'
import { statusOf, suiteAnchor, type Run } from './cells.ts'
import { firstLine } from './failures.ts'
import { duration, mark, shortDuration, statusText } from './format.ts'
import { html, type Markup } from './markup.ts'

/** Suites that fit side by side with their words spelt out. */
const many = 8

/** Kernel × suite. Runs of the same kernel and agent share a row: CI may split one kernel's suites among several. */
export function matrix(runs: readonly Run[]): Markup {
  const suites = [...new Set(runs.flatMap(({ result }) => [...result.tests, ...(result.notRun ?? [])].map(({ suite }) => suite)))].sort()
  const rows = Map.groupBy(runs, (run) => JSON.stringify([run.label, run.result.release]))
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Kernel by suite"><table class="matrix${suites.length > many && ' many'}">
<thead><tr><th scope="col">Kernel</th><th scope="col">Run</th>${suites.map((suite) => html`<th scope="col"><span>${suite}</span></th>`)}</tr></thead>
<tbody>${[...rows.values()].map((group) => row(group, suites))}</tbody>
</table></div>`
}

function row(runs: readonly Run[], suites: readonly string[]): Markup {
  const [first] = runs
  if (!first) return html``
  if (runs.every((run) => run.result.outcome === 'unavailable')) return html`<tr><th scope="row">${first.label}</th><td colspan="${suites.length + 1}"><a class="cell none" href="#${first.anchor}">not available: ${firstLine(first.result.error)}</a></td></tr>
`
  return html`<tr><th scope="row">${first.label}<small>${first.result.release}</small></th>
<td>${runs.map((run) => html`<a class="cell ${run.result.outcome}" href="#${run.anchor}">${mark(run.result.outcome)} ${statusText(run.result.outcome)}<small>${duration(run.result.ms)}</small>${noteOf(run)}</a>`)}</td>
${suites.map((suite) => html`<td>${suiteCells(runs, suite, suites.length > many ? shortDuration : duration)}</td>`)}</tr>
`
}

/** What the run's note begins with; the whole of it is in the run's section. */
const noteOf = ({ result: { note } }: Run): Markup => (note === undefined ? html`` : html`<small title="${note}">${note.split(':')[0]}</small>`)

function suiteCells(runs: readonly Run[], suite: string, time: (ms: number) => string): Markup | Markup[] {
  const found = runs.flatMap((run) => {
    const tests = run.result.tests.filter((test) => test.suite === suite)
    return tests.length ? [html`<a class="cell ${statusOf(tests)}" href="#${suiteAnchor(run, suite)}">${mark(statusOf(tests))} ${tally(tests)}<small>${time(tests.reduce((ms, test) => ms + test.ms, 0))}</small></a>`] : []
  })
  if (found.length) return found
  const why = runs.flatMap(({ result }) => result.notRun ?? []).find((skipped) => skipped.suite === suite)?.reason
  return why === undefined ? html`<span class="cell none">not run</span>` : html`<span class="cell none" title="${why}">not run<span class="hidden">: ${why}</span></span>`
}

/** `12`, `10 of 12`, `2 of 12 failed`: short enough for a cell. */
function tally(tests: readonly TestResult[]): Markup {
  const count = (status: TestResult['status']): number => tests.filter((test) => test.status === status).length
  const skipped = count('skipped')
  const main = count('failed') ? [count('failed'), ` of ${tests.length} failed`] : skipped === tests.length ? ['', 'skipped'] : [count('passed'), count('passed') === 1 ? ' test' : ' tests']
  return html`<span>${main[0]}<span class="unit">${main[1]}</span></span>${skipped > 0 && skipped < tests.length && html`<small>${skipped} skipped</small>`}`
}

/** What the symbols mean. */
export const legend = (): Markup => html`<p class="legend">${mark('passed')} passed ${mark('failed')} failed ${mark('error')} error before or beside the tests ${mark('skipped')} skipped ${mark('stopped')} stopped</p>`
