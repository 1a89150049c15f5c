import { styleText } from 'node:util'
import { phases, type Phase } from './cell-events.ts'
import type { CellState } from './console-state.ts'

type Colour = 'green' | 'red' | 'yellow' | 'dim' | 'bold'
interface Cell { readonly text: string; readonly colour?: Colour }

/** Columns: the last phase is no stage of its own, it is said under "now". */
const columns = phases.filter((phase) => phase !== 'results')
const plain = (text: string): Cell => ({ text })

/**
 * The live table, a line a cell (`noun` says what that is), cut to `width` columns. `paint` colours a text (it may be the identity); times are relative to the same
 * start as those of the states.
 */
export function renderTable(noun: string, states: readonly CellState[], now: number, width: number, paint: (colour: Colour, text: string) => string = (colour, text) => styleText(colour, text, { validateStream: false })): string {
  const head: Cell[] = [noun, 'prepare', ...columns.slice(1), 'time', 'now'].map((text) => ({ text, colour: 'dim' }))
  const rows = [head, ...states.map((state) => row(state, now))]
  const widths = head.map((_, i) => Math.max(...rows.map((cells) => (i === head.length - 1 ? 0 : cells[i]!.text.length))))
  return rows.map((cells) => line(cells, widths, width, paint)).join('\n')
}

function line(cells: readonly Cell[], widths: readonly number[], width: number, paint: (colour: Colour, text: string) => string): string {
  let room = width - 1
  return cells.map(({ text, colour }, i) => {
    const cut = clip(text, room)
    const padded = i === cells.length - 1 ? cut : cut.padEnd(Math.min(widths[i]! + 2, room))
    room -= padded.length
    return colour === undefined || cut === '' ? padded : padded.replace(cut, () => paint(colour, cut))
  }).join('').trimEnd()
}

const clip = (text: string, room: number): string => (text.length <= room ? text : room < 2 ? '' : `${text.slice(0, room - 1)}…`)

function row(state: CellState, now: number): Cell[] {
  if (state.unavailable !== undefined) return [{ text: state.name, colour: 'dim' }, ...columns.map(() => plain('')), plain(''), { text: `not available: ${state.unavailable}`, colour: 'dim' }]
  return [{ text: state.name, colour: 'bold' }, ...columns.map((phase) => (phase === 'suites' ? suites(state) : phaseCell(state, phase, now))), plain(time(state, now)), doing(state)]
}

function phaseCell(state: CellState, phase: Phase, now: number): Cell {
  const span = state.phases.get(phase)
  if (!span) return plain('')
  const took = clock((span.endMs ?? now) - span.startMs)
  if (span.endMs === undefined) return { text: `… ${took}`, colour: 'yellow' }
  // The last phase before the results is the one that failed, when no suite ran.
  const failed = (state.result?.outcome === 'error' || state.phases.has('results')) && !state.phases.has('suites') && lastOf(state) === phase
  return failed ? { text: `✗ ${took}`, colour: 'red' } : { text: `✓ ${took}`, colour: 'green' }
}

const lastOf = (state: CellState): Phase | undefined => [...state.phases.keys()].filter((phase) => phase !== 'results').at(-1)

/** `✓ 12 ✗ 1 policy 3/12`. */
function suites(state: CellState): Cell {
  if (state.suites.size === 0) return state.phase === 'suites' ? { text: '…', colour: 'yellow' } : plain('')
  const { passed, failed, skipped } = state.counts
  const current = state.phase === 'suites' && state.suite !== undefined ? state.suites.get(state.suite) : undefined
  const text = [`✓ ${passed}`, failed ? `✗ ${failed}` : '', skipped ? `- ${skipped}` : '', current ? `${state.suite} ${current.passed + current.failed + current.skipped}/${current.tests}` : ''].filter(Boolean).join(' ')
  return { text, colour: failed ? 'red' : state.phase === 'suites' ? 'yellow' : 'green' }
}

const time = (state: CellState, now: number): string => (state.beganMs === undefined ? '' : clock((state.endedMs ?? now) - state.beganMs))

function doing(state: CellState): Cell {
  if (state.result) return { text: state.result.outcome, colour: state.result.outcome === 'passed' ? 'green' : 'red' }
  if (state.beganMs === undefined) return { text: 'waits its turn', colour: 'dim' }
  return plain(state.phase === 'results' ? (state.doing ?? 'gathers its results') : state.phase === 'suites' ? '' : (state.doing ?? ''))
}

/** `7 s`, `1:05`, `1:02:05`. */
export function clock(ms: number): string {
  const s = Math.floor(ms / 1000)
  const two = (n: number): string => String(n).padStart(2, '0')
  return s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : `${Math.floor(s / 3600)}:${two(Math.floor((s % 3600) / 60))}:${two(s % 60)}`
}
