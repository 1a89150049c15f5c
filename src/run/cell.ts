import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { attachAgent, type RunHandle } from '../agent/index.ts'
import { explain, KernelbedError } from '../core/errors.ts'
import { processStartTime } from '../core/owned.ts'
import { LineProgress } from '../core/progress.ts'
import { collectEvidence } from '../report/artefacts.ts'
import { isVerdict } from '../report/failed-by.ts'
import { summary, testLine } from '../report/summary.ts'
import type { RunResult, TestResult } from '../report/types.ts'
import { bringUp } from './bring-up.ts'
import { phases, toldProgress, type Phase, type Tell } from './cell-events.ts'
import { codeOf, writeCell } from './cell-results.ts'
import { agentName, commandOf } from './command-line.ts'
import { expectationOfAll, planSuites, refusalNote, type SuitePlan } from './expectation.ts'
import { useExisting } from './existing.ts'
import { blameHungMachine } from './hung.ts'
import { writeKept } from './kept.ts'
import type { PlannedCell } from './matrix-plan.ts'
import { suiteNames, type E2eOptions } from './options.ts'
import { openSession, type Session, type SessionOptions } from './session.ts'
import { runSuites } from './suites.ts'
import { runKernelOf, type Up } from './up.ts'

export interface CellRun {
  /** Id and folder, for a cell of a matrix. */
  readonly place?: NonNullable<SessionOptions['place']>
  /** Hears how the run goes. */
  readonly tell?: Tell
}

/** Runs the whole job on one kernel and leaves its results in the run folder. Never throws for what goes wrong in the run. */
export async function runCell(cell: PlannedCell, options: E2eOptions, { place, tell = () => undefined }: CellRun = {}): Promise<{ result: RunResult; code: number; dir: string }> {
  const session = openCell(place, tell)
  const startedAt = new Date()
  const start = performance.now()
  const tests: TestResult[] = []
  const enter = phaseTeller(tell, options.nodes)
  let up: Partial<Up> = {}
  let error: unknown
  let ok = false
  let plan: SuitePlan = { run: [], notRun: [] }
  try {
    enter.whileUp(up)
    const told = (partial: Partial<Up>): void => {
      if (partial.kernels && !up.kernels) tell({ kind: 'kernel', release: runKernelOf(partial.kernels).release })
      enter.whileUp((up = partial))
    }
    up = await (options.existing ? useExisting(options.existing, options, session.id, session.ctx, told) : bringUp(cell.kernel, options, session.ctx, told))
    writeFileSync(join(session.ctx.dir, 'run.json'), JSON.stringify(runHandle(session, up as Up, options), undefined, 2))
    plan = planSuites(options.suites, suiteNames(), expectationOfAll(up.kernels ?? []), runKernelOf(up.kernels ?? []).name)
    enter.phase('suites')
    const step = session.progress.step('suites')
    const outcome = await runSuites({
      suites: plan.run,
      ...(options.test === undefined ? {} : { test: options.test }),
      ...(options.bail ? { bail: true } : {}),
      ...(up.agent?.handle.patience === undefined ? {} : { patience: up.agent.handle.patience }),
      began: startedAt,
      onSuite: (suite, count) => tell({ kind: 'suite', suite, tests: count }),
      onResult: (test) => {
        tests.push(test)
        tell({ kind: 'test', result: test })
        session.progress.note(`  ${testLine(test)}`)
      },
    }, session.ctx)
    ok = outcome.ok
    if (outcome.ok) step.done()
    else step.fail()
    if (outcome.errors.length) throw new KernelbedError('the suites had errors outside their tests', { blame: 'test', details: outcome.errors.join('\n') })
    if (up.agent?.settled === undefined) await assertNoFatalLog(up as Up, options.existing ? startedAt : undefined)
    if (tests.every((test) => test.status === 'skipped') && !session.stopped) throw new KernelbedError('no test ran', { blame: 'test', hint: 'loosen --test or --suite' })
  } catch (cause) {
    error = session.stopped === undefined ? await blameHungMachine(up.machines ?? [], cause) : cause
    ok = false
  }
  enter.phase('results')
  // A verdict on a seeded fault is what its run is for.
  const judged = options.bail === true && options.fault !== undefined && tests.some(isVerdict)
  const failed = !ok && session.stopped === undefined && !judged
  // Evidence is gathered while the machines still run; Ctrl-C does not wait for it.
  if (failed) await Promise.race([aborted(session.ctx.signal), collectEvidence(up, session.ctx).catch((cause: unknown) => session.progress.note(`evidence is incomplete: ${explain(cause)}`))])
  const finishing = await finish(session, options, up)
  error ??= finishing
  // Who stopped the run wants no error of what that broke, but what is left behind.
  const told = [...new Set([session.stopped === undefined ? error : undefined, finishing])].filter((each) => each !== undefined)
  const note = ok && error === undefined && up.agent?.settled ? await refusalNote(options.agent, tests) : undefined
  const result: RunResult = {
    id: session.id,
    kernel: options.existing && up.kernels ? runKernelOf(up.kernels).name : cell.kernelName ?? cell.name,
    release: up.kernels ? runKernelOf(up.kernels).release : 'not resolved',
    agent: agentName(options),
    startedAt: startedAt.toISOString(),
    ms: Math.round(performance.now() - start),
    outcome: session.stopped !== undefined ? 'stopped' : error !== undefined && !(error instanceof KernelbedError && error.blame === 'test') ? 'error' : ok && error === undefined ? 'passed' : 'failed',
    ...(told.length ? { error: told.map(explain).join('\n') } : {}),
    ...(note === undefined ? {} : { note }),
    tests,
    ...(plan.notRun.length === 0 ? {} : { notRun: plan.notRun }),
    timeline: session.progress.timeline,
    command: commandOf(cell.kernel, options),
  }
  writeCell(session.ctx.dir, result)
  process.stdout.write(summary(result, session.ctx.dir))
  return { result, code: codeOf(result), dir: session.ctx.dir }
}

function openCell(place: CellRun['place'], tell: Tell): Session {
  const lines = new LineProgress((line) => {
    process.stderr.write(`${line}\n`)
    tell({ kind: 'line', text: line })
  })
  const session = openSession({ progress: toldProgress(lines, tell), ...(place === undefined ? {} : { place }) })
  const { reaper } = session
  if (reaper !== undefined) tell({ kind: 'begin', reaper: { pid: reaper, startTime: processStartTime(reaper) ?? 'gone' } })
  return session
}

/** Tells each phase once, the ones before the suites by what is up. A cluster that is saved and restored does not begin anew: phases go forward only. */
function phaseTeller(tell: Tell, nodes: number): { phase: (phase: Phase) => void; whileUp: (up: Partial<Up>) => void } {
  let last: Phase | undefined
  const phase = (next: Phase): void => {
    if (last === undefined || phases.indexOf(next) > phases.indexOf(last)) tell({ kind: 'phase', phase: (last = next) })
  }
  return { phase, whileUp: (up) => phase(up.cluster ? 'agent' : up.machines?.length === nodes ? 'cluster' : up.wire ?? up.machines ? 'machines' : 'kernel') }
}

/** An agent that logged something fatal is broken, even where every test passed. What one of somebody else logged before the run, `since`, is not ours to judge. */
async function assertNoFatalLog({ cluster, agent }: Up, since: Date | undefined): Promise<void> {
  const fatal = await (await attachAgent(cluster.handle, agent.handle)).fatal(since)
  if (fatal.length) throw new KernelbedError('the agent logged what it must never log', { blame: 'agent', details: fatal.map(({ node, line }) => `${node}: ${line}`).join('\n') })
}

const aborted = (signal: AbortSignal): Promise<void> => new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))

/** Ends or keeps what the run started; answers the error of doing so, if any. */
async function finish(session: Session, options: E2eOptions, up: Partial<Up>): Promise<unknown> {
  try {
    if (!options.keep || session.stopped !== undefined || !up.cluster) return await session.end()
    writeKept(session.ctx.dir, await session.keep())
    process.stdout.write(`\nthe cluster is up: npm run kubectl -- get pods -A, npm run shell -- node1; npm run down removes it\n`)
  } catch (cause) {
    return cause
  }
  return undefined
}

function runHandle(session: Session, up: Up, { keep, existing }: E2eOptions): RunHandle {
  return { id: session.id, dir: session.ctx.dir, kernel: runKernelOf(up.kernels), features: up.features, cluster: up.cluster.handle, ...(up.wire ? { wire: up.wire.handle } : {}), agent: up.agent.handle, workloadImage: up.workloadImage, ends: !keep && !existing }
}
