import type { Context } from '../../core/context.ts'
import type { RunResult } from '../../report/types.ts'
import type { Tell } from '../cell-events.ts'
import type { CellFacts } from '../cell-record.ts'
import type { PlannedCell } from '../matrix-plan.ts'
import type { E2eOptions } from '../options.ts'
import type { Session } from '../session.ts'

/** One cell to be run, whole: what its process is told. */
export interface CellJob {
  readonly id: string
  readonly dir: string
  readonly cell: PlannedCell
  readonly options: E2eOptions
}

/** Where the cells of a matrix run: each is a process (cell-main.ts) of this host, or in a pod of a cluster. */
export interface Engine {
  /** Finds out which cells can't be had. */
  settle(cells: readonly PlannedCell[], session: Session): Promise<readonly PlannedCell[]>
  /** Makes what all cells share. */
  prepare(options: E2eOptions, session: Session): Promise<void>
  /** How many cells run side by side. `say` takes what a person should know of the choice. */
  atOnce(cells: number, options: E2eOptions, say: (line: string) => void): number
  /**
   * Runs a cell to its end and answers its result, which is in the cell's folder too. Tells how it goes. Ends it when the context is aborted; nothing of it is left
   * then. Never throws for what a cell does.
   */
  run(job: CellJob, facts: CellFacts, ctx: Context, tell: Tell): Promise<RunResult>
}
