import type { Run } from './cells.ts'
import { failures, message } from './failures.ts'
import { features } from './features.ts'
import { flows } from './flows.ts'
import { duration, mark, moment, statusText } from './format.ts'
import { files, logs } from './logs.ts'
import { html, type Markup } from './markup.ts'
import { counts, notRunText } from '../summary.ts'
import { brokenBy } from '../table.ts'
import { skipped, suites } from './tests.ts'
import { timeline } from './timeline.ts'

/** Everything about one run; open unless it passed. */
export function runSection(run: Run, open: boolean): Markup {
  const { result } = run
  const broken = failures(run)
  const bad = brokenBy(result) !== undefined || result.tests.some((test) => test.status === 'failed')
  return html`<details class="run ${result.outcome}" id="${run.anchor}" data-print${open && html` open`}>
<summary><h2>${mark(result.outcome)} ${run.label} <span class="outcome">${statusText(result.outcome)}</span></h2><small>${result.tests.length > 0 ? counts(result.tests) : 'no test ran'} · ${duration(result.ms)}</small></summary>
<div class="body">
<dl><div><dt>Kernel</dt><dd>${result.release}</dd></div><div><dt>Agent</dt><dd>${result.agent}</dd></div><div><dt>Started</dt><dd>${moment(result.startedAt)}</dd></div><div><dt>Run</dt><dd>${result.id}</dd></div></dl>
<p class="command"><span>Repeat it</span><code>${result.command}</code><button type="button" class="copy" hidden>Copy</button></p>
${result.note !== undefined && html`<p class="note">${result.note}</p>`}
${result.notRun !== undefined && result.notRun.length > 0 && html`<p class="note">${notRunText(result.notRun)}</p>`}
${bad && html`<h3>Failed</h3>${broken}`}
${!bad && result.error !== undefined && html`<h3>${result.outcome === 'unavailable' ? 'Not available' : 'Stopped'}</h3>${message(result.error)}`}
${skipped(run)}
${timeline(run)}
${suites(run)}
${features(run)}
${flows(run)}
${logs(run)}
${files(run)}
</div></details>
`
}
