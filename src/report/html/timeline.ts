import type { ReportCell } from '../load.ts'
import type { RunResult, TestResult } from '../types.ts'
import { suitesOf } from './cells.ts'
import { duration, mark } from './format.ts'
import { html, type Markup } from './markup.ts'

interface Bar { readonly startMs: number; readonly ms: number; readonly status: TestResult['status'] | 'step'; readonly title: string }
interface Row { readonly name: string; readonly note?: string; readonly ms: number; readonly failed: boolean; readonly indent?: 'in' | 'in test'; readonly bars: readonly Bar[]; /** Folded under it: a suite's tests. */ readonly below?: readonly Row[] }

/** Where the time went, to scale: a row a step, and a row a suite that unfolds to a row a test. */
export function timeline(run: ReportCell): Markup {
  const rows = rowsOf(run)
  if (rows.length === 0) return html``
  const total = Math.max(run.result.ms, ...rows.flatMap((row) => row.bars.map((bar) => bar.startMs + bar.ms)), 1)
  const ticks = ticksOf(total)
  return html`<h3>Timeline</h3><div class="timeline" role="group" aria-label="Timeline">
<div class="trow axis" aria-hidden="true"><span></span><span class="track">${ticks.map((at) => html`<span class="tick" style="left:${percent(at, total)}"><span>${tickLabel(at)}</span></span>`)}</span><span></span></div>
${rows.map((row) => rowsHtml(row, total, ticks))}</div>
${run.result.tests.some((test) => test.startMs === undefined && test.status !== 'skipped') && html`<p class="hint">Of these tests only the length was recorded: they are drawn one after the other.</p>`}`
}

function rowsHtml(row: Row, total: number, ticks: readonly number[]): Markup {
  if (!row.below?.length) return rowHtml(row, total, ticks)
  return html`<details class="tsuite"><summary>${rowHtml(row, total, ticks)}</summary>${row.below.map((test) => rowHtml(test, total, ticks))}</details>`
}

function rowHtml(row: Row, total: number, ticks: readonly number[]): Markup {
  return html`<div class="trow${row.indent && ` ${row.indent}`}"><span class="name" title="${row.note === undefined ? row.name : `${row.name}: ${row.note}`}">${row.failed && mark('failed')}${row.failed && ' '}${row.name}${row.note !== undefined && html` <small>${row.note}</small>`}</span>
<span class="track">${ticks.map((at) => html`<i class="grid" style="left:${percent(at, total)}"></i>`)}${row.bars.map((bar) => html`<i class="bar ${bar.status}" style="left:${percent(bar.startMs, total)};width:${percent(bar.ms, total)}" title="${bar.title}"></i>`)}</span><span class="time">${duration(row.ms)}</span></div>
`
}

/** Steps in the order they began; the suites follow the step that ran them. */
function rowsOf(run: ReportCell): Row[] {
  const { result } = run
  const steps = [...result.timeline].sort((a, b) => a.startMs - b.startMs)
  const at = steps.findIndex((step) => step.name === 'suites')
  const suites = suiteRows(run, steps[at]?.startMs ?? Math.max(0, result.ms - sum(result.tests)))
  const rows = steps.map(stepRow)
  rows.splice(at < 0 ? rows.length : at + 1, 0, ...suites)
  return rows
}

function stepRow(step: RunResult['timeline'][number]): Row {
  const bar = { startMs: step.startMs, ms: step.ms, status: step.ok ? 'step' : 'failed', title: `${step.name}: ${duration(step.ms)} from ${duration(step.startMs)}` } as const
  return { name: step.name, ms: step.ms, failed: !step.ok, bars: [bar], ...(step.note === undefined ? {} : { note: step.note }) }
}

/** Results of older versions hold no starts: their tests are put one after the other. */
function suiteRows(run: ReportCell, startMs: number): Row[] {
  let at = startMs
  return suitesOf(run).map(({ suite, tests }) => {
    const below = tests.map((test): Row => {
      const start = test.startMs ?? at
      at = start + test.ms
      const bar = { startMs: start, ms: test.ms, status: test.status, title: `${test.name}: ${test.status}, ${duration(test.ms)} from ${duration(start)}` }
      return { name: test.name, ms: test.ms, failed: test.status === 'failed', indent: 'in test', bars: [bar] }
    })
    return { name: suite, ms: sum(tests), failed: tests.some((test) => test.status === 'failed'), indent: 'in', bars: below.flatMap((row) => row.bars), below }
  })
}

const sum = (tests: readonly TestResult[]): number => tests.reduce((ms, test) => ms + test.ms, 0)
const percent = (part: number, total: number): string => `${((part / total) * 100).toFixed(3)}%`

/** `0`, `15 s`, `1:30 min`. */
const tickLabel = (at: number): string => (at === 0 ? '0' : at < 60_000 ? `${at / 1000} s` : `${Math.floor(at / 60_000)}:${String(Math.round((at % 60_000) / 1000)).padStart(2, '0')} min`)

/** Four to eight round marks; the last leaves room for its label. */
export function ticksOf(total: number): number[] {
  const steps = [100, 250, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_200_000, 3_600_000]
  const step = steps.find((candidate) => total / candidate <= 7) ?? 3_600_000 * Math.ceil(total / 25_200_000)
  return Array.from({ length: Math.floor(total / step) + 1 }, (_, i) => i * step).filter((at) => at === 0 || at < total * 0.97)
}
