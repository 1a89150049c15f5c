import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inOrder, type Run } from './html/cells.ts'
import { clientScript } from './html/client.ts'
import { overview } from './html/failures.ts'
import { featureMatrix } from './html/features.ts'
import { duration, mark, moment, plural, statusText } from './html/format.ts'
import { html, trusted, type Markup } from './html/markup.ts'
import { legend, matrix } from './html/matrix.ts'
import { runSection } from './html/run.ts'
import type { ReportCell } from './load.ts'
import { counts } from './summary.ts'
import type { RunResult } from './types.ts'

/**
 * One page of one or more runs: matrix, failures, and each run's evidence. It needs nothing but itself; links to pcaps and logs are
 * relative to where the cells were loaded for.
 */
export function htmlReport(runs: readonly ReportCell[]): string {
  const ordered = inOrder(runs)
  const script = clientScript()
  // Only our own script runs, and nothing is ever fetched, even if text of a guest were to get through as markup.
  const policy = `default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${createHash('sha256').update(script).digest('base64')}'; base-uri 'none'; form-action 'none'`
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>${worst(ordered) === 'passed' ? '✓' : '✗'} kernelbed: ${verdict(ordered)}</title>
<style>${trusted(readFileSync(join(import.meta.dirname, 'html/report.css'), 'utf8'))}</style></head>
<body><a class="skip" href="#matrix">Skip to the matrix</a>
<header>${headline(ordered)}</header>
<main>
<section aria-labelledby="matrix"><h2 id="matrix" class="hidden">Kernel by suite</h2>${ordered.length > 0 && html`${matrix(ordered)}${legend()}`}</section>
${overview(ordered)}
${featureMatrix(ordered)}
<section class="runs" aria-label="Runs">${ordered.map((run) => runSection(run, (run.result.outcome !== 'passed' && run.result.outcome !== 'unavailable') || ordered.length === 1))}</section>
</main>
<script>${trusted(script)}</script>
</body></html>
`.text
}

function headline(runs: readonly Run[]): Markup {
  const first = runs.map((run) => run.result.startedAt).filter(Boolean).sort()[0]
  const agents = [...new Set(runs.map((run) => run.result.agent))]
  const total = runs.reduce((ms, run) => ms + run.result.ms, 0)
  return html`<p class="brand">kernelbed</p><h1>${runs.length > 0 && mark(worst(runs))} ${verdict(runs)}</h1>
${runs.length > 0 && html`<p class="facts">${counts(runs.flatMap((run) => run.result.tests))} · ${duration(total)} in all · agent ${agents.join(', ')}${first !== undefined && ` · ${moment(first)}`}</p>`}`
}

/** `all 3 runs passed`, `1 of 3 runs passed`. */
function verdict(runs: readonly Run[]): string {
  if (runs.length === 0) return 'no runs'
  if (runs.length === 1) return `${runs[0]!.label}: ${statusText(runs[0]!.result.outcome)}`
  const ran = runs.filter((run) => run.result.outcome !== 'unavailable')
  const passed = ran.filter((run) => run.result.outcome === 'passed').length
  const out = runs.length - ran.length
  return `${passed === ran.length && passed > 1 ? `all ${plural(passed, 'run')} passed` : `${passed} of ${plural(ran.length, 'run')} passed`}${out > 0 ? `, ${plural(out, 'kernel')} not available` : ''}`
}

function worst(runs: readonly Run[]): RunResult['outcome'] {
  return (['failed', 'error', 'stopped', 'passed'] as const).find((outcome) => runs.some((run) => run.result.outcome === outcome)) ?? 'unavailable'
}
