import type { Progress } from '../core/progress.ts'
import type { RunResult } from '../report/types.ts'
import type { CellEvent } from './cell-events.ts'
import { LinesConsole } from './console-lines.ts'
import { LiveConsole } from './console-live.ts'
import type { PlannedCell } from './matrix-plan.ts'

/** What a person sees while a matrix runs. */
export interface MatrixConsole {
  /** Of what is done before the cells begin. */
  readonly progress: Progress
  /** A line of the matrix itself. */
  say(line: string): void
  /** The cells are about to begin, `jobs` at a time. */
  begin(id: string, cells: readonly PlannedCell[], jobs: number): void
  began(cell: PlannedCell): void
  tell(cell: PlannedCell, event: CellEvent): void
  ended(cell: PlannedCell, result: RunResult): void
  /** Nothing more is shown; what was is left on the screen. */
  end(): void
}

/** A table that is redrawn in place on a terminal; lines where there is none, and in CI, whose logs are read later. `noun`: what a cell is. */
export function openConsole(noun: string, stream: NodeJS.WriteStream = process.stderr, env: NodeJS.ProcessEnv = process.env): MatrixConsole {
  const ci = env['CI'] !== undefined && env['CI'] !== '' && env['CI'] !== 'false'
  return stream.isTTY && !ci && env['TERM'] !== 'dumb' ? new LiveConsole(noun, stream) : new LinesConsole(noun, (line) => stream.write(`${line}\n`))
}
