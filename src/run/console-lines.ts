import { LineProgress, type Progress } from '../core/progress.ts'
import { duration, plural } from '../report/html/format.ts'
import { counts } from '../report/summary.ts'
import type { RunResult } from '../report/types.ts'
import type { CellEvent } from './cell-events.ts'
import type { MatrixConsole } from './console.ts'
import type { PlannedCell } from './matrix-plan.ts'

/** Plain lines, each with the cell it is about. */
export class LinesConsole implements MatrixConsole {
  readonly progress: Progress
  readonly #noun: string
  readonly #write: (line: string) => void
  #width = 0

  constructor(noun: string, write: (line: string) => void) {
    this.#noun = noun
    this.#write = write
    this.progress = new LineProgress(write)
  }

  say(line: string): void {
    this.#write(line)
  }

  begin(id: string, cells: readonly PlannedCell[], jobs: number): void {
    this.#width = Math.max(...cells.map(({ name }) => name.length))
    this.#write(headline(id, cells, jobs, this.#noun))
    for (const cell of cells) if (cell.unavailable !== undefined) this.#about(cell, `not available: ${cell.unavailable}`)
  }

  began(cell: PlannedCell): void {
    this.#about(cell, 'begins')
  }

  tell(cell: PlannedCell, event: CellEvent): void {
    if (event.kind === 'line') for (const line of event.text.split('\n')) this.#about(cell, line)
  }

  ended(cell: PlannedCell, result: RunResult): void {
    this.#about(cell, verdict(result))
  }

  end(): void {}

  #about(cell: PlannedCell, line: string): void {
    this.#write(`${cell.name.padEnd(this.#width)} | ${line}`)
  }
}

/** `matrix 20260101-…: 3 kernels, 2 at a time`. */
export function headline(id: string, cells: readonly PlannedCell[], jobs: number, noun: string): string {
  const runnable = cells.filter((cell) => cell.unavailable === undefined).length
  const out = cells.length - runnable
  return `matrix ${id}: ${plural(runnable, noun)}, ${jobs} at a time${out ? `; ${out} not available` : ''}`
}

/** How a cell ended, in a line. */
export const verdict = (result: RunResult): string =>
  `${result.outcome}: ${result.tests.length ? counts(result.tests) : firstLine(result.error)} in ${duration(result.ms)}`

const firstLine = (text: string | undefined): string => text?.split('\n')[0] ?? 'no test ran'
