import { brokenBy } from '../table.ts'
import type { TestResult } from '../types.ts'
import { testAnchor, type Run } from './cells.ts'
import { duration, mark } from './format.ts'
import { html, type Markup } from './markup.ts'

/** What went wrong across all runs, a line each: the same test on several kernels is one line. */
export function overview(runs: readonly Run[]): Markup {
  const failed = runs.flatMap((run) => run.result.tests.filter((test) => test.status === 'failed').map((test) => ({ run, test })))
  const byTest = [...Map.groupBy(failed, ({ test }) => JSON.stringify([test.suite, test.name])).values()].sort((a, b) => b.length - a.length)
  const broken = runs.filter((run) => brokenBy(run.result) !== undefined)
  if (!byTest.length && !broken.length) return html``
  return html`<section aria-labelledby="failures"><h2 id="failures">What failed</h2><ul class="overview">
${broken.map((run) => html`<li>${mark(run.result.outcome)}<div><a href="#${run.anchor}">${firstLine(run.result.error)}</a><p class="where">the run on <a href="#${run.anchor}">${run.label}</a></p></div></li>`)}
${byTest.map((same) => overviewLine(same))}
</ul></section>`
}

function overviewLine(same: readonly { run: Run; test: TestResult }[]): Markup {
  const [first] = same
  if (!first) return html``
  return html`<li>${mark('failed')}<div><span class="suite">${first.test.suite}</span> <a href="#${testAnchor(first.run, first.test)}">${first.test.name}</a>
<p class="where">on ${same.map(({ run, test }, i) => html`${i > 0 && ', '}<a href="#${testAnchor(run, test)}">${run.label}</a>`)}: ${firstLine(first.test.message)}</p></div></li>
`
}

/** A run's failures in full: the run's own error, then each failed test. */
export function failures(run: Run): Markup {
  const failed = run.result.tests.filter((test) => test.status === 'failed')
  return html`${run.result.error !== undefined && html`<div class="failure"><h4>${mark(run.result.outcome)} The run itself</h4>${message(run.result.error)}</div>`}
${failed.map((test) => html`<div class="failure" id="${testAnchor(run, test)}"><h4>${mark('failed')} <span class="suite">${test.suite}</span> ${test.name}</h4>
${message(test.message ?? 'it failed without a message')}<p class="where">${test.location !== undefined && html`<code>${test.location}</code> · `}${duration(test.ms)}</p></div>
`)}`
}

/** A message as it was printed; its first line says what, a line that begins with an arrow says what to do. */
export function message(text: string): Markup {
  const lines = text.replaceAll('\r\n', '\n').trimEnd().split('\n')
  return html`<pre class="message">${lines.map((line, i) => html`${i > 0 && '\n'}${i === 0 ? html`<b>${line}</b>` : /^\s*→/.test(line) ? html`<i>${line}</i>` : line}`)}</pre>`
}

export const firstLine = (text: string | undefined): string => {
  const line = (text ?? '').trim().split('\n')[0] ?? ''
  return line.length > 160 ? `${line.slice(0, 160)} …` : line
}
