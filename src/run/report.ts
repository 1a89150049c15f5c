import { existsSync, mkdirSync, readdirSync, realpathSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { Command } from 'commander'
import { defaultAgent } from '../agent/index.ts'
import { usageError } from '../core/errors.ts'
import { htmlReport } from '../report/html.ts'
import { appendStepSummary } from '../report/github.ts'
import { plural } from '../report/html/format.ts'
import { junitXml } from '../report/junit.ts'
import { loadCells, type ReportCell } from '../report/load.ts'
import { markdownSummary } from '../report/markdown.ts'
import { verdictOf } from '../report/table.ts'
import type { RunResult } from '../report/types.ts'
import { parseFlags } from './flags.ts'
import { planCells, type PlannedCell } from './matrix-plan.ts'

const MAX_DEPTH = 7

/**
 * `npm run report -- DIR… [--out FILE] [--expect NAMES]`: merges run folders, and run folders found below the folders given, into one page, one JUnit file and
 * one Markdown summary. Answers 0 when they are written, whatever became of the runs; throws usage errors for folders that hold no result.
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
  const cells = loadCells(dirs, place)
  const missing = expected(asked.expect).filter(({ name }) => !cells.some((cell) => cell.result.kernel === name)).map(absent)
  const results = [...cells, ...missing].map((cell) => cell.result)
  const page = htmlReport([...cells, ...missing])
  mkdirSync(dirname(out), { recursive: true })
  writeFileSync(out, page)
  writeFileSync(beside(out, '.junit.xml'), junitXml(results))
  const markdown = markdownSummary(results)
  writeFileSync(beside(out, '.md'), markdown)
  const lost = missing.filter((cell) => cell.result.outcome === 'error').map((cell) => cell.result.kernel)
  if (lost.length) process.stderr.write(`no result of ${lost.join(', ')}: shown as an error\n`)
  process.stdout.write(`report of ${plural(dirs.length, 'run')}: ${out}\n  ${verdictOf(results)}; JUnit: ${beside(out, '.junit.xml')}, summary: ${beside(out, '.md')}\n`)
  appendStepSummary(markdown)
  return 0
}

/** `report.html` → `report.junit.xml`: never the name of a file that a run has of its own. */
const beside = (page: string, suffix: string): string => join(dirname(page), `${basename(page, '.html')}${suffix}`)

/** `all` is the catalogue; any other name may be of an image that is not here. */
const expected = (names: readonly string[]): PlannedCell[] => names.flatMap((name) => (name === 'all' ? planCells(['all']) : [{ name, kernel: name }]))

/** A kernel whose run left no result: its job was cut off, or its artefacts are not here. It must not vanish from the report. */
function absent({ name, kernel, unavailable }: PlannedCell): ReportCell {
  const error = unavailable ?? `no result of kernel ${name} was found\n→ its job ended before it could write one, or its artefacts were not downloaded: look at the job's log`
  const result: RunResult = { id: 'none', kernel: name, release: 'not known', agent: defaultAgent, startedAt: '', ms: 0, outcome: unavailable === undefined ? 'error' : 'unavailable', error, tests: [], timeline: [], command: `npm run e2e -- --kernel ${kernel}` }
  return { result, base: '.', logs: [], files: [], unreadable: [] }
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
  if (depth >= MAX_DEPTH) return { runs: [], unfinished: [] }
  const below = readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => search(join(dir, entry.name), depth + 1))
  const runs = below.flatMap((found) => found.runs)
  // The folder of a matrix has a list of commands too, and its runs below it.
  if (runs.length === 0 && existsSync(join(dir, 'commands.log'))) return { runs: [], unfinished: [dir] }
  return { runs, unfinished: below.flatMap(({ unfinished }) => unfinished) }
}

function parse(argv: readonly string[]): { dirs: string[]; out: string; expect: string[] } | undefined {
  const program = parseFlags(new Command('npm run report --')
    .description('Merges the results of runs into one self-contained HTML page, with JUnit and a Markdown summary beside it.')
    .argument('[dirs...]', 'run folders, or folders that hold them')
    .option('--out <file>', 'where to write the page', join('.kernelbed', 'report.html'))
    .option('--expect <kernels>', 'kernels that must have a result, separated by commas, or all; one without is shown as an error', (value) => value.split(',').map((name) => name.trim()).filter(Boolean), []), argv)
  if (!program) return undefined
  if (program.args.length === 0) throw usageError('no folder was given', 'npm run report -- .kernelbed/runs')
  return { dirs: program.args, ...program.opts<{ out: string; expect: string[] }>() }
}
