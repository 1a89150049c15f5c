import { existsSync, mkdirSync, readdirSync, realpathSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { Command } from 'commander'
import { usageError } from '../core/errors.ts'
import { htmlReport } from '../report/html.ts'
import { loadCell } from '../report/load.ts'
import { parseFlags } from './flags.ts'

const MAX_DEPTH = 4

/**
 * `npm run report -- DIR… [--out FILE]`: merges run folders, and run folders found below the folders given, into one page. Answers 0 when
 * it is written, whatever became of the runs; throws usage errors for folders that hold no result.
 */
export async function report(argv: readonly string[]): Promise<number> {
  const asked = parse(argv)
  if (!asked) return 0
  const out = resolve(asked.out)
  if (existsSync(out) && statSync(out).isDirectory()) throw usageError(`--out ${asked.out} is a folder`, `name a file: --out ${join(asked.out, 'report.html')}`)
  const found = asked.dirs.map(runsIn)
  for (const dir of found.flatMap(({ unfinished }) => unfinished)) process.stderr.write(`left out, no result.json: ${dir}\n`)
  const dirs = [...new Set(found.flatMap(({ runs }) => runs).map((dir) => realpathSync(dir)))]
  // Links are relative to the real place of the report, as the folders are real places.
  const place = realParent(dirname(out))
  const page = htmlReport(dirs.map((dir) => loadCell(dir, place)))
  mkdirSync(dirname(out), { recursive: true })
  writeFileSync(out, page)
  process.stdout.write(`report of ${dirs.length} ${dirs.length === 1 ? 'run' : 'runs'}: ${out}\n`)
  return 0
}

/** The folder without symbolic links, as far as it exists yet. */
function realParent(dir: string): string {
  if (existsSync(dir)) return realpathSync(dir)
  const parent = dirname(dir)
  return parent === dir ? dir : join(realParent(parent), dir.slice(parent.length))
}

/** The folder when it is a run, else the runs below it. */
function runsIn(dir: string): { runs: string[]; unfinished: string[] } {
  if (!existsSync(dir)) throw usageError(`no folder ${dir}`, 'runs are in .kernelbed/runs')
  if (!statSync(dir).isDirectory()) throw usageError(`${dir} is a file`, 'give the folder of a run, or a folder of runs')
  const found = search(dir)
  if (found.runs.length === 0) throw usageError(`${dir} holds no run: no result.json in it or below`, 'a run writes its result when it ends; finished runs are in .kernelbed/runs')
  return found
}

function search(dir: string, depth = 0): { runs: string[]; unfinished: string[] } {
  if (existsSync(join(dir, 'result.json'))) return { runs: [dir], unfinished: [] }
  if (existsSync(join(dir, 'commands.log')) || depth >= MAX_DEPTH) return { runs: [], unfinished: depth < MAX_DEPTH ? [dir] : [] }
  const below = readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => search(join(dir, entry.name), depth + 1))
  return { runs: below.flatMap(({ runs }) => runs), unfinished: below.flatMap(({ unfinished }) => unfinished) }
}

function parse(argv: readonly string[]): { dirs: string[]; out: string } | undefined {
  const program = parseFlags(new Command('npm run report --')
    .description('Merges the results of runs into one self-contained HTML page.')
    .argument('[dirs...]', 'run folders, or folders that hold them')
    .option('--out <file>', 'where to write the page', join('.kernelbed', 'report.html')), argv)
  if (!program) return undefined
  if (program.args.length === 0) throw usageError('no folder was given', 'npm run report -- .kernelbed/runs')
  return { dirs: program.args, out: program.opts<{ out: string }>().out }
}
