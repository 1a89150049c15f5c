import { expect, test } from 'vitest'
import { timeline } from './timeline.ts'
import type { ReportCell } from '../load.ts'
import type { RunResult } from '../types.ts'

const result: RunResult = {
  id: 'r', kernel: '6.1', release: '6.1.0', agent: 'lash', startedAt: '', ms: 100_000, outcome: 'failed', command: '',
  tests: [
    { suite: 'policy', name: 'a', status: 'passed', ms: 10_000 },
    { suite: 'policy', name: 'b', status: 'failed', ms: 5000 },
    { suite: 'tunnel', name: 'c', status: 'skipped', ms: 0 },
  ],
  timeline: [{ name: 'evidence', startMs: 90_000, ms: 10_000, ok: true }, { name: 'suites', startMs: 50_000, ms: 40_000, ok: false }, { name: 'boot node1', startMs: 0, ms: 20_000, ok: true, note: 'kvm' }],
}
const draw = (run: Partial<RunResult> = {}): string => timeline({ result: { ...result, ...run }, base: '.', logs: [], files: [], unreadable: [] } satisfies ReportCell).text
const names = (text: string): string[] => [...text.matchAll(/role="rowheader"[^>]*>(?:<span class="mark[^>]*>.<\/span> )?([^<]*)/g)].map((found) => found[1]!.trim())

test('steps are in the order they began, the suites under the step that ran them', () => {
  expect(names(draw())).toEqual(['boot node1', 'suites', 'policy', 'tunnel', 'evidence'])
})

test('bars are to scale, and tests follow each other from the start of the suites', () => {
  const text = draw()
  expect(text).toContain('class="bar step" style="left:0.000%;width:20.000%"')
  expect(text).toContain('class="bar failed" style="left:50.000%;width:40.000%"')
  expect(text).toContain('class="bar passed" style="left:50.000%;width:10.000%"')
  expect(text).toContain('class="bar failed" style="left:60.000%;width:5.000%"')
})

test('a step that goes beyond the length of the run widens the scale instead of leaving it', () => {
  expect(draw({ ms: 10 })).toContain('style="left:90.000%;width:10.000%"')
})

test('tests without a timeline are still drawn, and nothing is drawn of nothing', () => {
  expect(names(draw({ timeline: [] }))).toEqual(['policy', 'tunnel'])
  expect(draw({ timeline: [], tests: [] })).toBe('')
})
