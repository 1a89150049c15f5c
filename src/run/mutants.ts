import { writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { Command } from 'commander'
import { findFault, loadDriver, type SeededFault } from '../agent/index.ts'
import { usageError } from '../core/errors.ts'
import { appendStepSummary } from '../report/github.ts'
import { mutantsHtml } from '../report/mutants/html.ts'
import { mutantsJunit } from '../report/mutants/junit.ts'
import { mutantsMarkdown, mutantsText } from '../report/mutants/text.ts'
import type { JudgedFault } from '../report/mutants/types.ts'
import { kubernetesEngine } from './engine/kubernetes.ts'
import { localEngine } from './engine/local.ts'
import { parseFlags } from './flags.ts'
import { runCells } from './matrix.ts'
import { folderOf } from './matrix-plan.ts'
import { judge } from './mutants/judge.ts'
import { planMutants, type Mutant } from './mutants/plan.ts'
import { collect, e2eFlags, e2eOptions, suiteNames, type E2eOptions } from './options.ts'

interface Asked { readonly faults: readonly SeededFault[]; readonly mutants: readonly Mutant[]; readonly options: E2eOptions }

/**
 * `npm run mutants -- [--fault NAME…] [--all-suites] [flags of e2e]`: runs the agent with each of its seeded faults against the suites that must catch it, until one has, each on a cluster
 * of its own, and prints which did; with `--all-suites` against all, to their end. Leaves `report.html`, `junit.xml` and `summary.md` in the run folder. Answers 0 when each was caught by a verdict, 1 when one survived or only broke
 * the run, 3 when it broke outside of them, 130 when stopped; throws usage errors.
 */
export async function mutants(argv: readonly string[]): Promise<number> {
  const asked = await parse(argv)
  if (!asked) return 0
  const { faults, mutants: planned, options } = asked
  const runs = planned.filter(({ notRun }) => notRun === undefined)
  const optionsOf = new Map(runs.map(({ fault, suites }) => [fault.name, { fault: fault.name, suites, ...(fault.settings === undefined ? {} : { agentGiven: { ...options.agentGiven, settings: { ...options.agentGiven?.settings, ...fault.settings } } }) }]))
  const engine = options.kubernetesEngine ? await kubernetesEngine(options, options.kubernetesEngine) : localEngine
  const ended = await runCells({ ...options, cells: runs.map(({ cell }) => cell) }, engine, { noun: 'fault', ofCell: ({ name }) => optionsOf.get(name) ?? {} })
  const results = new Map(ended.cells.map((cell, i) => [cell.name, { result: ended.results[i]!, folder: folderOf(cell, ended.cells) }]))
  const judged = faults.map((fault): JudgedFault => {
    const mutant = planned.find((one) => one.fault === fault)!
    const run = results.get(fault.name)
    return mutant.notRun === undefined && run ? judge(mutant, run.result, run.folder) : { ...fault, verdict: 'not run', why: mutant.notRun ?? 'it did not begin', caught: [], missed: [] }
  })
  writeReports(ended.dir, judged, ended.ms)
  process.stdout.write(mutantsText(judged, relative('', ended.dir), ended.ms))
  return ended.code ?? (judged.every(({ verdict }) => verdict === 'caught' || verdict === 'not run') ? 0 : 1)
}

function writeReports(dir: string, judged: readonly JudgedFault[], ms: number): void {
  const markdown = mutantsMarkdown(judged)
  writeFileSync(join(dir, 'report.html'), mutantsHtml(judged, ms))
  writeFileSync(join(dir, 'junit.xml'), mutantsJunit(judged))
  writeFileSync(join(dir, 'summary.md'), markdown)
  appendStepSummary(markdown)
}

async function parse(argv: readonly string[]): Promise<Asked | undefined> {
  const program = parseFlags(e2eFlags(new Command('npm run mutants --')
    .description('Runs the agent with each of its seeded faults, and tells which suite caught it. Takes the flags of npm run e2e too.')
    .option('--fault <name>', 'only this fault; repeatable', collect, [])
    .option('--all-suites', 'run every suite, to its end, not only those that must catch the fault until one has', false), { fault: false }), argv)
  if (!program) return undefined
  const { fault: names, allSuites, suite, agent, kernel } = program.opts<{ fault: string[]; allSuites: boolean; suite: string[]; agent: string; kernel: string[] }>()
  const driver = await loadDriver(agent)
  const faults = names.length ? [...new Set(names)].map((name) => findFault(driver, name)) : driver.faults ?? []
  if (faults.length === 0) throw usageError(`the driver ${driver.name} has no seeded faults`, 'leave --agent out: lash has some')
  if (kernel.includes('all')) throw usageError('mutants takes kernels by name', 'a fault runs on the first --kernel whose suites can catch it')
  if (allSuites && suite.length) throw usageError('--all-suites and --suite are both about which suites run', 'leave one of them out')
  const options = await e2eOptions(program, ['6.1'])
  for (const [given, flag] of [[options.keep, '--keep'], [options.prepareOnly, '--prepare-only'], [options.mixed, '--nodes with kernels']] as const) if (given) throw usageError(`mutants takes no ${flag}`)
  const planned = planMutants(faults, options.cells, (of) => (allSuites ? [] : suite.length ? suite : of.caughtBy), suiteNames())
  const asked = { ...options, ...(allSuites ? {} : { bail: true }) }
  if (planned.every(({ notRun }) => notRun !== undefined)) throw usageError(`nothing to run: ${[...new Set(planned.map(({ notRun }) => notRun))].join('; ')}`, 'name a kernel that they are for: --kernel NAME or --kernel NAME=FILE')
  return { faults, mutants: planned, options: asked }
}
