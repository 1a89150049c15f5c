import type { LogTail } from '../load.ts'
import type { Run } from './cells.ts'
import { grouped, plural, size } from './format.ts'
import { firstLine } from './failures.ts'
import { href, html, type Markup } from './markup.ts'

const PROMINENT = 15

/** Consoles, commands and logs: the last lines first in sight, those before folded away. Consoles are open when the run itself broke. */
export function logs(run: Run): Markup {
  if (run.logs.length === 0) return html``
  return html`<h3>Consoles and logs</h3>${run.logs.map((log) => block(run, log, run.result.outcome === 'error' && log.kind === 'console'))}`
}

function block(run: Run, log: LogTail, open: boolean): Markup {
  const last = log.lines.slice(-PROMINENT)
  const before = log.lines.slice(0, -PROMINENT)
  return html`<details class="log"${open && html` open`}><summary><b>${log.path}</b> <small>${size(log.bytes)}</small> <span class="lastline">${firstLine(log.lines.at(-1))}</span></summary>
<p class="hint">${log.cut ? `The last ${grouped(log.lines.length)} lines; ` : `${plural(log.lines.length, 'line')}; `}<a href="${href(run.base, log.path)}">whole file</a></p>
${before.length > 0 && html`<details class="before"><summary>${plural(before.length, 'line')} before</summary>${pre(before, log.path)}</details>`}${pre(last, `end of ${log.path}`)}</details>
`
}

const pre = (lines: readonly string[], name: string): Markup => html`<pre tabindex="0" role="region" aria-label="${name}">${`\n${lines.join('\n')}`}</pre>`

/** Links to pcaps and other files of the run folder. */
export function files(run: Run): Markup {
  const pcaps = run.files.filter((file) => file.kind === 'pcap')
  const others = run.files.filter((file) => file.kind === 'other')
  const list = (entries: Run['files']): Markup => html`<ul class="files">${entries.map((file) => html`<li><a href="${href(run.base, file.path)}">${file.path}</a> <small>${size(file.bytes)}</small></li>`)}</ul>`
  return html`${pcaps.length > 0 && html`<h3>Packet captures</h3>${list(pcaps)}`}
<h3>Files</h3><p class="hint">All are in <a href="${href(run.base)}/">the run folder</a>; links work while it lies beside this page.</p>
${others.length > 12 ? html`<details><summary>${plural(others.length, 'file')}</summary>${list(others)}</details>` : list(others)}
${run.unreadable.length > 0 && html`<p class="hint">Could not be read: ${run.unreadable.join('; ')}</p>`}`
}
