import type { FlowRow } from '../load.ts'
import type { Run } from './cells.ts'
import { grouped } from './format.ts'
import { href, html, json, type Markup } from './markup.ts'

/** The monitor's events with a live filter. Rows are data; the page's script draws those that match, a few hundred at a time. */
export function flows(run: Run): Markup {
  const log = run.flows
  if (!log) return html``
  const id = `${run.anchor}-flows`
  const drops = log.rows.filter((row) => row.type === 'drop').length
  return html`<h3 id="${id}">Monitor flows</h3>
${log.rows.length < log.total && html`<p class="hint">${grouped(log.rows.length)} of ${grouped(log.total)} events are in this page: drops first, then the newest. All of them: ${log.files.map((file, i) => html`${i > 0 && ', '}<a href="${href(run.base, file)}">${file}</a>`)}.</p>`}
${log.broken > 0 && html`<p class="hint">${grouped(log.broken)} lines could not be read as events.</p>`}
<details class="flows"${run.result.outcome === 'failed' && log.rows.length > 0 && html` open`}><summary>${grouped(log.total)} events, ${grouped(drops)} drops</summary>
<form class="filter" role="search" aria-label="Filter flows of ${run.label}">
<label class="wide">Text <input type="search" name="text" autocomplete="off" spellcheck="false" placeholder="10.244.1.7 syn -established"></label>
${picker('type', 'Type', log.rows.map((row) => row.type))}
${picker('verdict', 'Verdict or reason', log.rows.map((row) => row.verdict))}
${picker('node', 'Node', log.rows.map((row) => row.node))}
<button type="reset">Clear</button><output></output></form>
<div class="scroll tall" tabindex="0" role="region" aria-label="Flows of ${run.label}"><table class="flowtable"><thead><tr><th scope="col">Event</th><th scope="col">Node</th><th scope="col">Type</th><th scope="col">Verdict</th><th scope="col">Packet</th><th scope="col">Detail</th></tr></thead><tbody></tbody></table></div>
<button type="button" class="more" hidden>Show more</button>
<noscript><p class="hint">The table needs JavaScript; the events are in ${log.files.join(', ')}.</p></noscript>
<script type="application/json">${json(log.rows.map(compact))}</script></details>`
}

const compact = (row: FlowRow): (string | number)[] => [row.line, row.node, row.type, row.verdict, row.packet, row.detail, row.raw]

/** A choice of the values there are, the most frequent first, with their counts. */
function picker(name: string, title: string, values: readonly string[]): Markup {
  const counts = [...Map.groupBy(values.filter(Boolean), (value) => value)].map(([value, all]) => ({ value, count: all.length })).sort((a, b) => b.count - a.count)
  return html`<label>${title} <select name="${name}"><option value="">all</option>${counts.map(({ value, count }) => html`<option value="${value}">${value} (${grouped(count)})</option>`)}</select></label>`
}
