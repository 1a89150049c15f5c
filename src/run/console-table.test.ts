import { expect, test } from 'vitest'
import type { RunResult } from '../report/types.ts'
import { CellState } from './console-state.ts'
import { clock, renderTable } from './console-table.ts'

const result = (outcome: RunResult['outcome'], rest: Partial<RunResult> = {}): RunResult => ({ id: 'r', kernel: 'k', release: 'k', agent: 'lash', startedAt: '', ms: 0, outcome, tests: [], timeline: [], command: '', ...rest })
const draw = (states: readonly CellState[], now: number, width = 120): string[] => renderTable('kernel', states, now, width, (_colour, text) => text).split('\n')

function running(): CellState {
  const state = new CellState('4.14')
  state.began(0)
  state.hear({ kind: 'phase', phase: 'kernel' }, 0)
  state.hear({ kind: 'phase', phase: 'machines' }, 2000)
  state.hear({ kind: 'step', id: 1, name: 'boot node1', state: 'begins' }, 2000)
  state.hear({ kind: 'step', id: 2, name: 'boot node2', state: 'begins' }, 2000)
  state.hear({ kind: 'step', id: 2, name: 'boot node2', state: 'goes on', detail: 'waits for SSH' }, 3000)
  return state
}

test('a row says which phases are done, which goes on, how long each took, and what is waited for', () => {
  const state = running()
  expect(draw([state, new CellState('6.1'), new CellState('4.4', 'not in Debian')], 9000)).toEqual([
    'kernel  prepare  machines  cluster  agent  suites  time  now',
    '4.14    ✓ 2 s    … 7 s                             9 s   boot node2: waits for SSH',
    '6.1                                                      waits its turn',
    '4.4                                                      not available: not in Debian',
  ])
  state.hear({ kind: 'step', id: 2, name: 'boot node2', state: 'done' }, 9000)
  expect(draw([state], 9000)[1]).toContain('boot node1')
})

test('tests are counted, and the suite that runs is named', () => {
  const state = running()
  state.hear({ kind: 'phase', phase: 'suites' }, 60_000)
  state.hear({ kind: 'suite', suite: 'policy', tests: 3 }, 60_000)
  for (const status of ['passed', 'failed'] as const) state.hear({ kind: 'test', result: { suite: 'policy', name: status, status, ms: 1 } }, 61_000)
  expect(draw([state], 65_000)[1]).toContain('✓ 1 ✗ 1 policy 2/3')
  state.hear({ kind: 'phase', phase: 'results' }, 70_000)
  expect(draw([state], 70_000)[1]).toMatch(/✓ 1 ✗ 1  +1:10/)
  state.ended(result('failed'), 71_000)
  expect(draw([state], 99_000)[1]).toMatch(/1:11 +failed$/)
})

test('a cell that broke shows in which phase', () => {
  const state = running()
  state.hear({ kind: 'phase', phase: 'results' }, 5000)
  state.ended(result('error'), 6000)
  expect(draw([state], 6000)[1]).toMatch(/^4\.14 +✓ 2 s +✗ 3 s +6 s +error$/)
})

test('no line is wider than the terminal', () => {
  for (const width of [20, 40, 60, 80]) for (const line of draw([running(), new CellState('4.4', 'x'.repeat(200))], 9000, width)) expect(line.length).toBeLessThan(width)
})

test('colour goes around the text, not the padding', () => {
  const [, line] = renderTable('kernel', [running()], 9000, 120, (colour, text) => `<${colour}>${text}</>`).split('\n')
  expect(line).toMatch(/^<bold>4\.14<\/> {4}<green>✓ 2 s<\/> {4}<yellow>… 7 s<\/>/)
})

test('a clock', () => {
  expect([0, 59_999, 60_000, 3_725_000].map(clock)).toEqual(['0 s', '59 s', '1:00', '1:02:05'])
})
