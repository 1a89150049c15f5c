/** Entry of a cell's process: runs one kernel of a matrix, telling its parent on file descriptor 3 how it goes (cell-events.ts). */
import { Socket } from 'node:net'
import type { CellEvent } from './cell-events.ts'
import { runCell } from './cell.ts'
import { main } from './main.ts'
import type { PlannedCell } from './matrix-plan.ts'
import type { E2eOptions } from './options.ts'

/** The one argument of the process, as JSON. */
export interface CellJob {
  readonly id: string
  readonly dir: string
  readonly cell: PlannedCell
  readonly options: E2eOptions
}

await main(async () => {
  const { id, dir, cell, options } = JSON.parse(process.argv[2] ?? '') as CellJob
  const parent = new Socket({ fd: 3, readable: false, writable: true })
  // A parent that is gone hears nothing; the session notices and stops.
  parent.on('error', () => undefined)
  const { code } = await runCell(cell, options, { place: { id, dir }, tell: (event: CellEvent) => void parent.write(`${JSON.stringify(event)}\n`) })
  await new Promise<void>((resolve) => {
    parent.once('close', () => resolve())
    parent.end(() => resolve())
  })
  return code
})
