import { existsSync, mkdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { explain } from '../../core/errors.ts'
import { LineProgress } from '../../core/progress.ts'
import { waitFor } from '../../core/wait.ts'
import type { RunResult } from '../../report/types.ts'
import { CellRecord } from '../cell-record.ts'
import { runCellProcess } from '../cell-process.ts'
import { codeOf, writeCell } from '../cell-results.ts'
import { settleCells } from '../matrix-plan.ts'
import { parseE2e } from '../options.ts'
import { openSession, type Session } from '../session.ts'
import type { CellJob } from './engine.ts'
import { unpackBaked } from './pod-cache.ts'
import { inputsComplete, podFolders, podTaskVariable } from './pod-places.ts'
import { packResults } from './pod-results.ts'
import { readPodTask, type PodTask } from './pod-task.ts'
import { PodVoice } from './pod-voice.ts'

/** Time for files to come, and for results to be fetched: a runner that is gone does neither. */
const INPUTS_MS = 5 * 60_000
const FETCH_MS = 15 * 60_000

/**
 * Runs the cell of a pod: a matrix of one, whose arguments are those of `npm run e2e`. Tells on stdout (pod-task.ts) how it goes, puts the cell's folder into an archive, and waits for
 * it to be fetched, until the pod is deleted. `command` runs the cell. Answers the cell's exit code.
 */
export async function runPod(command: (job: CellJob) => readonly [string, ...string[]]): Promise<number> {
  const task = readPodTask(process.env[podTaskVariable] ?? '')
  const voice = new PodVoice((text) => void process.stdout.write(text))
  const session = openSession({ progress: new LineProgress((line) => voice.line(line)), say: (line) => voice.line(line) })
  const dir = join(session.ctx.dir, 'cell')
  mkdirSync(dir)
  let result: RunResult
  try {
    result = await runOne(task, dir, command, session, voice)
  } catch (error) {
    voice.line(explain(error))
    result = { ...new CellRecord(task).result(session.stopped === undefined ? 'error' : 'stopped'), error: explain(error) }
    writeCell(dir, result)
  }
  // Nobody fetches what was stopped: the pod is being deleted.
  if (session.stopped === undefined) {
    voice.tell(await packResults(dir, session.ctx.dir, codeOf(result), session.ctx))
    await aborted(session.ctx.signal, FETCH_MS)
  }
  await session.end()
  return codeOf(result)
}

async function runOne(task: PodTask, dir: string, command: Parameters<typeof runPod>[0], session: Session, voice: PodVoice): Promise<RunResult> {
  const { ctx } = session
  if (task.inputs) {
    await waitFor({ name: 'the files of the runner', timeoutMs: INPUTS_MS, signal: ctx.signal, hint: 'the runner may have ended' }, () => (existsSync(relative(podFolders.work, inputsComplete)) ? { done: true } : { seen: 'not all are there' }))
  }
  await unpackBaked(ctx)
  const options = (await parseE2e(process.argv.slice(2)))!
  const planned = { ...options.cells[0]!, name: task.name, optional: task.optional }
  const [cell] = await settleCells([planned], ctx)
  if (cell?.unavailable !== undefined) {
    const result: RunResult = { ...new CellRecord(task).result('unavailable'), error: cell.unavailable }
    writeCell(dir, result)
    return result
  }
  return runCellProcess({ ...task, dir, command: command({ id: task.id, dir, cell: planned, options: { ...options, cells: [planned] } }) }, ctx, (event) => voice.tell(event))
}

const aborted = (signal: AbortSignal, timeoutMs: number): Promise<void> => new Promise((resolve) => {
  if (signal.aborted) return resolve()
  const timer = setTimeout(resolve, timeoutMs)
  signal.addEventListener('abort', () => {
    clearTimeout(timer)
    resolve()
  }, { once: true })
})
