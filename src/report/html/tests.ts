import type { TestResult } from '../types.ts'
import { statusOf, suiteAnchor, suitesOf, testAnchor, type Run } from './cells.ts'
import { duration, mark, plural } from './format.ts'
import { html, type Markup } from './markup.ts'

/** Skipped tests with the reason that was granted. */
export function skipped(run: Run): Markup {
  const tests = run.result.tests.filter((test) => test.status === 'skipped')
  if (tests.length === 0) return html``
  return html`<h3>Skipped</h3><ul class="skips">${tests.map((test) => html`<li>${mark('skipped')}<div><span class="suite">${test.suite}</span> ${test.name}
<p class="where">${test.message ?? 'no reason was given'}</p></div></li>`)}</ul>`
}

/** Every test, a table a suite; a failed one leads to its message. */
export function suites(run: Run): Markup {
  const all = suitesOf(run)
  if (all.length === 0) return html``
  const longest = Math.max(1, ...run.result.tests.map((test) => test.ms))
  return html`<h3>Tests</h3>${all.map(({ suite, tests }) => html`<details class="tests" id="${suiteAnchor(run, suite)}" data-print>
<summary>${mark(statusOf(tests))} <b>${suite}</b> <small>${plural(tests.length, 'test')}, ${duration(tests.reduce((ms, test) => ms + test.ms, 0))}</small></summary>
<ul>${tests.map((test) => line(run, test, longest))}</ul></details>
`)}`
}

function line(run: Run, test: TestResult, longest: number): Markup {
  const name = test.status === 'failed' ? html`<a href="#${testAnchor(run, test)}">${test.name}</a>` : test.name
  return html`<li>${mark(test.status)} <span class="name">${name}${test.notes !== undefined && html`<small class="notes">${test.notes.map((note, i) => html`${i > 0 && html`<br>`}${note}`)}</small>`}</span><span class="meter" aria-hidden="true"><i class="bar ${test.status}" style="width:${((test.ms / longest) * 100).toFixed(1)}%"></i></span><span class="time">${duration(test.ms)}</span></li>
`
}
