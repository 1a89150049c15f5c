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
const names = (text: string): string[] => [...text.matchAll(/class="name"[^>]*>(?:<span class="mark[^>]*>.<\/span> )?([^<]*)/g)].map((found) => found[1]!.trim())

test('steps are in the order they began, the suites under the step that ran them', () => {
  expect(names(draw())).toEqual(['boot node1', 'suites', 'policy', 'a', 'b', 'tunnel', 'c', 'evidence'])
})

test('bars are to scale; tests of which only the length is known follow each other from the start of the suites, and the page says so', () => {
  const text = draw()
  expect(text).toContain('class="bar step" style="left:0.000%;width:20.000%"')
  expect(text).toContain('class="bar failed" style="left:50.000%;width:40.000%"')
  expect(text).toContain('class="bar passed" style="left:50.000%;width:10.000%"')
  expect(text).toContain('class="bar failed" style="left:60.000%;width:5.000%"')
  expect(text).toContain('only the length was recorded')
})

test('a step that goes beyond the length of the run widens the scale instead of leaving it', () => {
  expect(draw({ ms: 10 })).toContain('style="left:90.000%;width:10.000%"')
})

test('tests without a timeline are still drawn, and nothing is drawn of nothing', () => {
  expect(names(draw({ timeline: [] }))).toEqual(['policy', 'a', 'b', 'tunnel', 'c'])
  expect(draw({ timeline: [], tests: [] })).toBe('')
})

test('a test is drawn where it was, once in its suite and once in a row of its own', () => {
  const text = draw({ tests: result.tests.map((test, i) => ({ ...test, startMs: 60_000 + i * 12_000 })) })
  expect(text.match(/class="bar failed" style="left:72\.000%;width:5\.000%"/g)).toHaveLength(2)
  expect(text).not.toContain('only the length')
})
