import { Command } from 'commander'
import { usageError } from '../core/errors.ts'
import { commandOf } from './command-line.ts'
import { parseFlags } from './flags.ts'
import type { PlannedCell } from './matrix-plan.ts'
import { e2eFlags, e2eOptions, type E2eOptions } from './options.ts'

/** A job of the workflow. */
export interface MatrixJob {
  readonly kernel: string
  /** What a person would type. */
  readonly command: string
}

/**
 * `npm run matrix -- [--json] [flags of npm run e2e]`: the jobs of a GitHub Actions workflow, one a kernel of the catalogue (or of those named). `--json` prints
 * what `strategy.matrix` takes, on one line for `$GITHUB_OUTPUT`; without it, a list that also says which kernels are not available.
 */
export async function matrix(argv: readonly string[]): Promise<number> {
  const program = new Command('npm run matrix --')
    .description('Prints the jobs of a GitHub Actions matrix, one a kernel, with the command of each. Takes the flags of npm run e2e, which go into the commands.')
    .option('--json', 'as JSON on one line, for strategy.matrix', false)
  const parsed = parseFlags(e2eFlags(program), argv)
  if (!parsed) return 0
  const options = await e2eOptions(parsed, ['all'])
  if (options.kubernetesEngine) throw usageError('--engine says where npm run e2e has its cells run', 'leave it out: a job of the workflow runs its cell itself')
  const jobs = jobsOf(options)
  if (parsed.opts<{ json: boolean }>().json) process.stdout.write(`${JSON.stringify({ include: jobs })}\n`)
  else process.stdout.write(`${options.cells.map((cell) => line(cell, options)).join('\n')}\n`)
  return 0
}

/** The cells that can run. */
export const jobsOf = (options: E2eOptions): MatrixJob[] =>
  options.cells.filter((cell) => cell.unavailable === undefined).map((cell) => ({ kernel: cell.name, command: commandOf(cell.kernel, options) }))

function line(cell: PlannedCell, options: E2eOptions): string {
  const width = Math.max(...options.cells.map(({ name }) => name.length))
  return `${cell.name.padEnd(width)}  ${cell.unavailable === undefined ? commandOf(cell.kernel, options) : `not available: ${cell.unavailable}`}`
}
