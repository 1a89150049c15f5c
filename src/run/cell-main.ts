/** Entry of a cell's process: runs one kernel of a matrix, telling its parent on file descriptor 3 how it goes (cell-events.ts). Its one argument is a CellJob as JSON. */
import { Socket } from 'node:net'
import type { CellEvent } from './cell-events.ts'
import { runCell } from './cell.ts'
import type { CellJob } from './engine/engine.ts'
import { main } from './main.ts'

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
