import { createLogUpdate } from 'log-update'
import { styleText } from 'node:util'
import { LineProgress, type Progress } from '../core/progress.ts'
import { testLine } from '../report/summary.ts'
import type { RunResult } from '../report/types.ts'
import type { CellEvent } from './cell-events.ts'
import { headline, verdict } from './console-lines.ts'
import { CellState } from './console-state.ts'
import { renderTable } from './console-table.ts'
import type { MatrixConsole } from './console.ts'
import type { PlannedCell } from './matrix-plan.ts'

/** On a terminal: a table that is redrawn in place; failed tests and ended cells stay above it. */
export class LiveConsole implements MatrixConsole {
  readonly progress: Progress
  readonly #noun: string
  readonly #stream: NodeJS.WriteStream
  readonly #log: ReturnType<typeof createLogUpdate>
  readonly #states = new Map<PlannedCell, CellState>()
  #headline = ''
  #timer: NodeJS.Timeout | undefined
  #soon: NodeJS.Timeout | undefined

  constructor(noun: string, stream: NodeJS.WriteStream) {
    this.#noun = noun
    this.#stream = stream
    this.#log = createLogUpdate(stream)
    this.progress = new LineProgress((line) => this.say(line))
  }

  say(line: string): void {
    this.#log.persist(line)
    if (this.#timer) this.#draw()
  }

  begin(id: string, cells: readonly PlannedCell[], jobs: number): void {
    this.#headline = headline(id, cells, jobs, this.#noun)
    for (const cell of cells) this.#states.set(cell, new CellState(cell.name, cell.unavailable))
    this.#timer = setInterval(() => this.#draw(), 1000)
    this.#timer.unref()
    this.#draw()
  }

  began(cell: PlannedCell): void {
    this.#states.get(cell)?.began(performance.now())
    this.#drawSoon()
  }

  tell(cell: PlannedCell, event: CellEvent): void {
    this.#states.get(cell)?.hear(event, performance.now())
    if (event.kind === 'test' && event.result.status === 'failed') this.say(`${cell.name} ${testLine(event.result)}`)
    this.#drawSoon()
  }

  ended(cell: PlannedCell, result: RunResult): void {
    this.#states.get(cell)?.ended(result, performance.now())
    this.say(`${cell.name} ${verdict(result)}`)
  }

  end(): void {
    clearInterval(this.#timer)
    clearTimeout(this.#soon)
    if (this.#timer) this.#draw()
    this.#timer = undefined
    this.#log.done()
  }

  /** Many events at once are one picture. */
  #drawSoon(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined
      this.#draw()
    }, 100)
    this.#soon.unref()
  }

  #draw(): void {
    const table = renderTable(this.#noun, [...this.#states.values()], performance.now(), this.#stream.columns, (colour, text) => styleText(colour, text, { stream: this.#stream }))
    this.#log(`${this.#headline}\n${table}`)
  }
}
