import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { duration, mark, type Status } from '../html/format.ts'
import { href, html, trusted, type Markup } from '../html/markup.ts'
import { byText, verdictOf } from './text.ts'
import type { JudgedFault } from './types.ts'

const status: Readonly<Record<JudgedFault['verdict'], Status>> = { caught: 'passed', survived: 'failed', crashed: 'error', 'not run': 'unavailable' }

/** One page: a row a fault, with the messages that caught it and a link to the report of its run. Needs nothing but itself. */
export function mutantsHtml(faults: readonly JudgedFault[], ms: number): string {
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>kernelbed mutants: ${verdictOf(faults)}</title>
<style>${trusted(readFileSync(join(import.meta.dirname, '../html/report.css'), 'utf8'))}</style></head>
<body><header><p class="brand">kernelbed mutants</p><h1>${verdictOf(faults)}</h1><p class="facts">${duration(ms)} in all</p></header>
<main><div class="scroll" tabindex="0" role="region" aria-label="Faults"><table class="matrix">
<thead><tr><th scope="col">Fault</th><th scope="col">Verdict</th><th scope="col">By</th><th scope="col">Run</th></tr></thead>
<tbody>${faults.map(row)}</tbody></table></div></main></body></html>
`.text
}

function row(fault: JudgedFault): Markup {
  const { name, does, verdict, caught, result, folder } = fault
  return html`<tr><th scope="row">${name}<small>${does}</small></th><td>${mark(status[verdict])} ${verdict === 'crashed' ? 'not told' : verdict}</td>
<td>${byText(fault)}${caught.map(({ suite, tests }) => tests.map((test) => html`<details><summary>${suite}: ${test.name}</summary><pre>${test.message}</pre></details>`))}</td>
<td>${result && folder !== undefined && html`<a href="${href(folder, 'report.html')}">${duration(result.ms)}</a>`}</td></tr>
`
}
