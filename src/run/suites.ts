import { spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { Context } from '../core/context.ts'
import { KernelbedError } from '../core/errors.ts'
import { endOwned, processStartTime } from '../core/owned.ts'
import { tailOf } from '../core/service.ts'
import { isVerdict } from '../report/failed-by.ts'
import type { SuiteMessage, TestResult } from '../report/types.ts'
import { projectDir } from './places.ts'

export interface SuitesOptions {
  readonly suites: readonly string[]
  readonly test?: string
  /** End with the first test that failed by what the agent did. */
  readonly bail?: boolean
  /** Of the agent: tests get as many times the usual time. Default 1. */
  readonly patience?: number
  readonly onResult: (result: TestResult) => void
  /** A suite was collected: how many tests it will run, skipped ones included. */
  readonly onSuite?: (suite: string, tests: number) => void
  /** Time of day when the run began; tests' starts are told relative to it. */
  readonly began: Date
}

export interface SuitesOutcome {
  readonly tests: readonly TestResult[]
  /** Errors that belong to no test: a suite that could not be collected, an unhandled rejection. */
  readonly errors: readonly string[]
  readonly ok: boolean
}

/** As in vitest.config.ts. */
const testTimeoutMs = 240_000

/** Runs the suites in a Vitest process of their own, which attaches to the run by `run.json`. Throws when Vitest itself fails. */
export async function runSuites(options: SuitesOptions, ctx: Context): Promise<SuitesOutcome> {
  const args = [join(projectDir, 'node_modules/vitest/vitest.mjs'), 'run', '--root', projectDir, '--project', 'e2e', '--reporter', join(projectDir, 'src/report/vitest-reporter.ts'), ...(options.test === undefined ? [] : ['-t', options.test]), ...(options.patience === undefined ? [] : [`--testTimeout=${testTimeoutMs * options.patience}`]), ...options.suites.map((name) => `suites/${name}.test.ts`)]
  const logFile = join(ctx.dir, 'logs', 'vitest.log')
  const log = createWriteStream(logFile)
  const claim = ctx.registry.claim('vitest', async () => {
    if (owned) await endOwned(owned, 2000)
  })
  let owned: { kind: 'process'; pid: number; startTime: string; group: boolean } | undefined
  const child = spawn(process.execPath, args, { cwd: projectDir, detached: true, stdio: ['ignore', 'pipe', 'pipe', 'pipe'], env: { ...process.env, KERNELBED_RUN: join(ctx.dir, 'run.json'), NO_COLOR: '1' } })
  if (child.pid !== undefined) claim.hold((owned = { kind: 'process', pid: child.pid, startTime: processStartTime(child.pid) ?? 'gone', group: true }))
  child.stdout?.pipe(log, { end: false })
  child.stderr?.pipe(log, { end: false })
  const stop = (): void => void claim.release()
  ctx.signal.addEventListener('abort', stop, { once: true })
  const closed = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)))
  const tests: TestResult[] = []
  const errors: string[] = []
  let end: boolean | undefined
  let judged = false
  for await (const line of createInterface({ input: child.stdio[3] as Readable })) {
    if (judged) continue
    const message = JSON.parse(line) as SuiteMessage
    if (message.kind === 'test') {
      const result = message.startedAt === undefined ? message.result : { ...message.result, startMs: Math.max(0, Math.round(message.startedAt - options.began.getTime())) }
      tests.push(result)
      options.onResult(result)
      // Ended at once, for the test that has begun since may wait for minutes; what it leaves in the cluster stays.
      if (options.bail && isVerdict(result)) {
        judged = true
        stop()
      }
    } else if (message.kind === 'suite') options.onSuite?.(message.suite, message.tests)
    else if (message.kind === 'error') errors.push(message.message)
    else if (message.kind === 'end') end = message.ok
  }
  const code = await closed
  ctx.signal.removeEventListener('abort', stop)
  log.end()
  await claim.release()
  if (end === undefined && !judged && !ctx.signal.aborted) throw new KernelbedError(`Vitest ended before its tests did (exit code ${code})`, { blame: 'test', details: tailOf(logFile, 30), hint: `its whole output: ${logFile}` })
  return { tests, errors, ok: end === true && tests.some((test) => test.status === 'passed') && tests.every((test) => test.status !== 'failed') && errors.length === 0 }
}
