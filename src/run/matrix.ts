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
import { CellRecord } from './cell-record.ts'
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
  let options = asked
  const screen = openConsole()
  const session = openSession({ progress: screen.progress, say: (line) => screen.say(line) })
  const start = performance.now()
  const results = new Map<PlannedCell, RunResult>()
  let broken: unknown
  try {
    options = { ...asked, cells: await engine.settle(asked.cells, session) }
    const runnable = options.cells.filter((cell) => cell.unavailable === undefined)
    if (runnable.length > 0) await engine.prepare(options, session)
    const jobs = engine.atOnce(runnable.length, options, (line) => screen.say(line))
    screen.begin(session.id, options.cells, jobs)
    const queue = [...runnable]
    const work = async (): Promise<void> => {
      for (let cell = queue.shift(); cell && session.stopped === undefined; cell = queue.shift()) results.set(cell, await runOne(cell, options, session, screen, engine))
    }
    const ended = await Promise.allSettled(Array.from({ length: jobs }, work))
    broken = ended.find((one) => one.status === 'rejected')?.reason
  } catch (error) {
    broken = error
  }
  // Cells that did not begin have a result too: nothing that was asked for is missing from the report.
  for (const cell of options.cells) if (!results.has(cell)) results.set(cell, notRun(cell, options, session, broken))
  screen.end()
  try {
    await session.end()
  } catch (error) {
    process.stderr.write(`${explain(error)}\n`)
    broken ??= error
  }
  const ordered = options.cells.map((cell) => results.get(cell)!)
  writeMatrix(session.ctx.dir, options.cells, ordered)
  process.stdout.write(matrixSummary(ordered, { dir: relative('', session.ctx.dir), ms: performance.now() - start, folder: (run) => folderOf(options.cells[ordered.indexOf(run)]!, options.cells) }))
  tellGithub(ordered)
  return session.stopped !== undefined ? 130 : broken !== undefined ? 3 : worstCode(ordered)
}

async function runOne(cell: PlannedCell, options: E2eOptions, session: Session, screen: MatrixConsole, engine: Engine): Promise<RunResult> {
  const facts = factsOf(cell, options, session)
  const dir = join(session.ctx.dir, folderOf(cell, options.cells))
  const job: CellJob = { id: facts.id, dir, cell, options: { ...options, cells: [cell] } }
  screen.began(cell)
  const result = await engine.run(job, facts, session.ctx, (event) => screen.tell(cell, event))
  screen.ended(cell, result)
  return result
}

const factsOf = (cell: PlannedCell, options: E2eOptions, session: Session): ConstructorParameters<typeof CellRecord>[0] =>
  ({ id: `${session.id}/${folderOf(cell, options.cells)}`, name: cell.name, agent: agentName(options), repeat: commandOf(cell.kernel, options) })

/** The result of a cell that did not begin, in its folder. */
function notRun(cell: PlannedCell, options: E2eOptions, session: Session, broken: unknown): RunResult {
  const why: { outcome: Outcome; error: string } = cell.unavailable !== undefined
    ? { outcome: 'unavailable', error: cell.unavailable }
    : session.stopped !== undefined ? { outcome: 'stopped', error: 'not begun' } : { outcome: 'error', error: explain(broken) }
  const result = { ...new CellRecord(factsOf(cell, options, session)).result(why.outcome), error: why.error }
  const dir = join(session.ctx.dir, folderOf(cell, options.cells))
  mkdirSync(dir, { recursive: true })
  writeCell(dir, result)
  return result
}

function writeMatrix(dir: string, cells: readonly PlannedCell[], results: readonly RunResult[]): void {
  writeFileSync(join(dir, 'junit.xml'), junitXml(results))
  writeFileSync(join(dir, 'summary.md'), markdownSummary(results))
  writeFileSync(join(dir, 'report.html'), htmlReport(loadCells(cells.map((cell) => join(dir, folderOf(cell, cells))), dir)))
}
