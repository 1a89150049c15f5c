import { expect, test } from 'vitest'
import { notRunText, summary, testLine } from './summary.ts'
import type { RunResult } from './types.ts'

const run: RunResult = {
  id: 'r', kernel: '4.4', release: '4.4.178', agent: 'lash', startedAt: '2026-01-01T00:00:00Z', ms: 90_000, outcome: 'passed', timeline: [], command: 'npm run e2e',
  note: 'refused, as expected: level=fatal msg="kernel version: NOT OK"', tests: [{ suite: 'refusal', name: 'refuses', status: 'passed', ms: 500 }],
  notRun: [{ suite: 'connectivity', reason: 'the agent must refuse' }, { suite: 'policy', reason: 'the agent must refuse' }, { suite: 'tunnels', reason: 'no VXLAN' }],
}

test('what a test found worth telling is below its line', () => {
  expect(testLine({ suite: 'refusal', name: 'lacks', status: 'passed', ms: 1500, notes: ['qdisc clsact', 'percpu_hash'] })).toBe('✓ refusal: lacks 1.5 s\n      qdisc clsact\n      percpu_hash')
})

test('suites that were not run are told with the reason, a line a reason', () => {
  expect(notRunText(run.notRun ?? [])).toBe('not run: connectivity, policy (the agent must refuse)\nnot run: tunnels (no VXLAN)')
})

test('a run that passed by refusing says so, and what it did not run', () => {
  const text = summary(run, '/runs/r')
  expect(text).toContain('not run: connectivity, policy (the agent must refuse)')
  expect(text).toContain('kernel 4.4 (4.4.178), agent lash: 1 passed, 0 failed in 90.0 s — passed\nrefused, as expected: level=fatal msg="kernel version: NOT OK"')
})
