import { join } from 'node:path'
import { ensureHostTools } from '../../image/index.ts'
import { runCellProcess } from '../cell-process.ts'
import { cellMemoryMiB, defaultJobs, thisHost } from '../matrix-jobs.ts'
import { settleCells } from '../matrix-plan.ts'
import { agentOptionsOf, type E2eOptions } from '../options.ts'
import { projectDir } from '../places.ts'
import { prepareShared } from '../prepare.ts'
import type { CellJob, Engine } from './engine.ts'

/** Cells as processes of this host, with `command`'s program and arguments. `stopGraceMs`: time that a cell has to end when asked to. */
export const processEngine = (command: (job: CellJob) => readonly [string, ...string[]], stopGraceMs?: number): Pick<Engine, 'atOnce' | 'run'> => ({
  atOnce: chooseJobs,
  run: (job, facts, ctx, tell) => runCellProcess({ ...facts, dir: job.dir, command: command(job), ...(stopGraceMs === undefined ? {} : { stopGraceMs }) }, ctx, tell),
})

/** The command of a cell's process. */
export const cellCommand = (job: CellJob): readonly [string, ...string[]] => [process.execPath, join(projectDir, 'src/run/cell-main.ts'), JSON.stringify(job)]

/** Cells with machines, on this host. */
export const localEngine: Engine = {
  settle: (cells, { ctx }) => settleCells(cells, ctx),
  prepare: async (options, { ctx }) => {
    await ensureHostTools(ctx)
    await prepareShared(options, agentOptionsOf(options), ctx)
  },
  ...processEngine(cellCommand),
}

/** `--jobs`, or what this host has room for. */
function chooseJobs(cells: number, options: E2eOptions, say: (line: string) => void): number {
  const host = thisHost()
  const jobs = options.jobs === undefined ? defaultJobs(cells, options, host) : Math.max(1, Math.min(options.jobs, cells))
  const needed = jobs * cellMemoryMiB(options.nodes, options.memoryMiB)
  if (needed > host.memoryMiB) say(`${jobs} at a time need about ${gib(needed)}, ${gib(host.memoryMiB)} are free: machines may not find the memory they ask for (fewer --jobs, or a smaller --memory)`)
  return jobs
}

const gib = (mib: number): string => `${(mib / 1024).toFixed(1)} GiB`
