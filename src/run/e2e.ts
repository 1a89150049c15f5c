import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { attachAgent, type RunHandle } from '../agent/index.ts'
import { explain, KernelbedError } from '../core/errors.ts'
import { shellQuote } from '../core/shell-quote.ts'
import { collectEvidence } from '../report/artefacts.ts'
import { htmlReport } from '../report/html.ts'
import { junitXml } from '../report/junit.ts'
import { loadCell } from '../report/load.ts'
import { summary, testLine } from '../report/summary.ts'
import type { RunResult, TestResult } from '../report/types.ts'
import { bringUp, type Up } from './bring-up.ts'
import { blameHungMachine } from './hung.ts'
import { writeKept } from './kept.ts'
import { parseE2e, type E2eOptions } from './options.ts'
import { openSession, type Session } from './session.ts'
import { runSuites } from './suites.ts'

/** `npm run e2e -- …`. Answers the exit code: 0 passed, 1 tests failed, 3 anything else failed, 130 stopped; throws usage errors. */
export async function e2e(argv: readonly string[]): Promise<number> {
  const options = parseE2e(argv)
  if (!options) return 0
  const codes: number[] = []
  for (const kernel of options.kernels) {
    const { code } = await runKernel(kernel, options)
    codes.push(code)
    if (code === 130) break
  }
  return Math.max(...codes)
}

/** Runs the whole job on one kernel and leaves its results in the run folder. Never throws for what goes wrong in the run. */
export async function runKernel(kernel: string, options: E2eOptions): Promise<{ result: RunResult; code: number }> {
  const session = openSession()
  const startedAt = new Date()
  const start = performance.now()
  const tests: TestResult[] = []
  let up: Partial<Up> = {}
  let error: unknown
  let ok = false
  try {
    up = await bringUp(kernel, options, session.ctx, (partial) => (up = partial))
    writeFileSync(join(session.ctx.dir, 'run.json'), JSON.stringify(runHandle(session, up as Up), undefined, 2))
    const step = session.progress.step('suites')
    const outcome = await runSuites({ suites: options.suites, ...(options.test === undefined ? {} : { test: options.test }), onResult: (test) => {
      tests.push(test)
      session.progress.note(`  ${testLine(test)}`)
    } }, session.ctx)
    ok = outcome.ok
    if (outcome.ok) step.done()
    else step.fail()
    if (outcome.errors.length) throw new KernelbedError('the suites had errors outside their tests', { blame: 'test', details: outcome.errors.join('\n') })
    await assertNoFatalLog(up as Up)
    if (tests.every((test) => test.status === 'skipped') && !session.stopped) throw new KernelbedError('no test ran', { blame: 'test', hint: 'loosen --test or --suite' })
  } catch (cause) {
    error = session.stopped === undefined ? await blameHungMachine(up.machines ?? [], cause) : cause
    ok = false
  }
  const failed = !ok && session.stopped === undefined
  // Evidence is gathered while the machines still run; Ctrl-C does not wait for it.
  if (failed) await Promise.race([aborted(session.ctx.signal), collectEvidence(up, session.ctx).catch((cause: unknown) => session.progress.note(`evidence is incomplete: ${explain(cause)}`))])
  const finishing = await finish(session, options, up)
  error ??= finishing
  const result: RunResult = {
    id: session.id,
    kernel: up.kernel?.name ?? kernel,
    release: up.kernel?.release ?? 'not resolved',
    agent: options.fault === undefined ? options.agent : `${options.agent} with fault ${options.fault}`,
    startedAt: startedAt.toISOString(),
    ms: Math.round(performance.now() - start),
    outcome: session.stopped !== undefined ? 'stopped' : error !== undefined && !(error instanceof KernelbedError && error.blame === 'test') ? 'error' : ok && error === undefined ? 'passed' : 'failed',
    ...(error === undefined || session.stopped !== undefined ? {} : { error: explain(error) }),
    tests,
    timeline: session.progress.timeline,
    command: commandOf(kernel, options),
  }
  writeResults(session.ctx.dir, result)
  process.stdout.write(summary(result, session.ctx.dir))
  return { result, code: codeOf(result) }
}

/** An agent that logged something fatal is broken, even where every test passed. */
async function assertNoFatalLog({ cluster, agent }: Up): Promise<void> {
  const fatal = await (await attachAgent(cluster.handle, agent.handle)).fatal()
  if (fatal.length) throw new KernelbedError('the agent logged what it must never log', { blame: 'agent', details: fatal.map(({ node, line }) => `${node}: ${line}`).join('\n') })
}

const aborted = (signal: AbortSignal): Promise<void> => new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))

const codeOf = (result: RunResult): number => ({ passed: 0, failed: 1, error: 3, stopped: 130 })[result.outcome]

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

function runHandle(session: Session, up: Up): RunHandle {
  const { name, release, line } = up.kernel
  return { id: session.id, dir: session.ctx.dir, kernel: { name, release, line }, cluster: up.cluster.handle, wire: up.wire.handle, agent: up.agent.handle, workloadImage: up.workloadImage }
}

function writeResults(dir: string, result: RunResult): void {
  writeFileSync(join(dir, 'result.json'), JSON.stringify(result, undefined, 2))
  writeFileSync(join(dir, 'junit.xml'), junitXml([result]))
  writeFileSync(join(dir, 'report.html'), htmlReport([loadCell(dir)]))
}

const quote = (text: string): string => (/^[\w./=:@-]+$/.test(text) ? text : shellQuote(text))

/** The command that repeats one cell. */
export function commandOf(kernel: string, options: E2eOptions): string {
  const args = ['--kernel', kernel]
  if (options.modules !== undefined) args.push('--modules', options.modules)
  if (options.trustOnFirstUse) args.push('--trust-on-first-use')
  if (options.agent !== 'lash') args.push('--agent', options.agent)
  if (options.fault !== undefined) args.push('--fault', options.fault)
  if (options.kubernetes !== undefined) args.push('--kubernetes', options.kubernetes)
  for (const suite of options.suites) args.push('--suite', suite)
  if (options.test !== undefined) args.push('-t', options.test)
  if (options.nodes !== 2) args.push('--nodes', String(options.nodes))
  if (options.memoryMiB !== 1536) args.push('--memory', String(options.memoryMiB))
  if (options.cpus !== 2) args.push('--cpus', String(options.cpus))
  return `npm run e2e -- ${args.map(quote).join(' ')}`
}
