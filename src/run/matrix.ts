import { mkdirSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { explain } from '../core/errors.ts'
import { tellGithub } from '../report/github.ts'
import { htmlReport } from '../report/html.ts'
import { junitXml } from '../report/junit.ts'
import { loadCells } from '../report/load.ts'
import { markdownSummary } from '../report/markdown.ts'
import { matrixSummary } from '../report/matrix-summary.ts'
import type { Outcome, RunResult } from '../report/types.ts'
import { CellRecord, type CellFacts } from './cell-record.ts'
import { worstCode, writeCell } from './cell-results.ts'
import { agentName, commandOf } from './command-line.ts'
import type { CellJob, Engine } from './engine/engine.ts'
import { openConsole, type MatrixConsole } from './console.ts'
import { folderOf, type PlannedCell } from './matrix-plan.ts'
import type { E2eOptions } from './options.ts'
import { openSession, type Session } from './session.ts'

/**
 * Runs the cells, `--jobs` at a time, each where the engine has it with a folder in this run's folder, and merges their results there: `report.html`,
 * `junit.xml`, `summary.md`. Answers the exit code, the cells' worst.
 */
export async function runMatrix(asked: E2eOptions, engine: Engine): Promise<number> {
  const { dir, cells, results, ms, code } = await runCells(asked, engine)
  writeMatrix(dir, cells, results)
  process.stdout.write(matrixSummary(results, { dir: relative('', dir), ms, folder: (run) => folderOf(cells[results.indexOf(run)]!, cells) }))
  tellGithub(results)
  return code ?? worstCode(results)
}

/** Cells that have all ended. */
export interface EndedCells {
  /** Of the run; each cell's is in it (folderOf). */
  readonly dir: string
  readonly cells: readonly PlannedCell[]
  /** One a cell, in their order. */
  readonly results: readonly RunResult[]
  readonly ms: number
  /** 130 when it was stopped, 3 when it broke outside of its cells. */
  readonly code?: 130 | 3
}

/** `noun`: what a cell is. `ofCell`: what it is asked beside what all are. */
export interface CellsAsked { readonly noun?: string; readonly ofCell?: (cell: PlannedCell) => Partial<E2eOptions> }

/** Runs cells, `--jobs` at a time, each where the engine has it with a folder in this run's folder. */
export async function runCells(asked: E2eOptions, engine: Engine, { noun = 'kernel', ofCell = () => ({}) }: CellsAsked = {}): Promise<EndedCells> {
  let { cells } = asked
  const screen = openConsole(noun)
  const session = openSession({ progress: screen.progress, say: (line) => screen.say(line) })
  const start = performance.now()
  const results = new Map<PlannedCell, RunResult>()
  const planOf = (cell: PlannedCell): CellPlan => {
    const options = { ...asked, ...ofCell(cell), cells: [cell] }
    const folder = folderOf(cell, cells)
    return { dir: join(session.ctx.dir, folder), options, facts: { id: `${session.id}/${folder}`, name: cell.kernelName ?? cell.name, agent: agentName(options), repeat: commandOf(cell.kernel, options) } }
  }
  let broken: unknown
  try {
    cells = await engine.settle(asked.cells, session)
    const runnable = cells.filter((cell) => cell.unavailable === undefined)
    if (runnable.length > 0) await engine.prepare({ ...asked, cells }, session)
    const jobs = engine.atOnce(runnable.length, { ...asked, cells }, (line) => screen.say(line))
    screen.begin(session.id, cells, jobs)
    const queue = [...runnable]
    const work = async (): Promise<void> => {
      for (let cell = queue.shift(); cell && session.stopped === undefined; cell = queue.shift()) results.set(cell, await runOne(cell, planOf(cell), session, screen, engine))
    }
    const ended = await Promise.allSettled(Array.from({ length: jobs }, work))
    broken = ended.find((one) => one.status === 'rejected')?.reason
  } catch (error) {
    broken = error
  }
  // Cells that did not begin have a result too: nothing that was asked for is missing from the report.
  for (const cell of cells) if (!results.has(cell)) results.set(cell, notRun(cell, planOf(cell), session, broken))
  screen.end()
  try {
    await session.end()
  } catch (error) {
    process.stderr.write(`${explain(error)}\n`)
    broken ??= error
  }
  const code = session.stopped !== undefined ? 130 : broken !== undefined ? 3 : undefined
  return { dir: session.ctx.dir, cells, results: cells.map((cell) => results.get(cell)!), ms: performance.now() - start, ...(code === undefined ? {} : { code }) }
}

/** What is settled of a cell before it runs. */
interface CellPlan { readonly dir: string; readonly options: E2eOptions; readonly facts: CellFacts }

async function runOne(cell: PlannedCell, { dir, options, facts }: CellPlan, session: Session, screen: MatrixConsole, engine: Engine): Promise<RunResult> {
  const job: CellJob = { id: facts.id, dir, cell, options }
  screen.began(cell)
  const result = await engine.run(job, facts, session.ctx, (event) => screen.tell(cell, event))
  screen.ended(cell, result)
  return result
}

/** The result of a cell that did not begin, in its folder. */
function notRun(cell: PlannedCell, { dir, facts }: CellPlan, session: Session, broken: unknown): RunResult {
  const why: { outcome: Outcome; error: string } = cell.unavailable !== undefined
    ? { outcome: 'unavailable', error: cell.unavailable }
    : session.stopped !== undefined ? { outcome: 'stopped', error: 'not begun' } : { outcome: 'error', error: explain(broken) }
  const result = { ...new CellRecord(facts).result(why.outcome), error: why.error }
  mkdirSync(dir, { recursive: true })
  writeCell(dir, result)
  return result
}

function writeMatrix(dir: string, cells: readonly PlannedCell[], results: readonly RunResult[]): void {
  writeFileSync(join(dir, 'junit.xml'), junitXml(results))
  writeFileSync(join(dir, 'summary.md'), markdownSummary(results))
  writeFileSync(join(dir, 'report.html'), htmlReport(loadCells(cells.map((cell) => join(dir, folderOf(cell, cells))), dir)))
}
