/** A cell's process without machines: a real session with a real service, then what its kernel's name says. Arguments: the job, a folder to meet other cells in. */
import { appendFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { processStartTime } from '../../core/owned.ts'
import { LineProgress } from '../../core/progress.ts'
import { startService } from '../../core/service.ts'
import { waitFor } from '../../core/wait.ts'
import type { RunResult, TestResult } from '../../report/types.ts'
import { toldProgress, type CellEvent } from '../cell-events.ts'
import { codeOf, writeCell } from '../cell-results.ts'
import type { CellJob } from '../engine/engine.ts'
import { openSession } from '../session.ts'

const { id, dir, cell } = JSON.parse(process.argv[2]!) as CellJob
const meeting = process.argv[3]!
const out = new Socket({ fd: 3, readable: false, writable: true })
out.on('error', () => undefined)
const tell = (event: CellEvent): void => void out.write(`${JSON.stringify(event)}\n`)
const lines = new LineProgress((text) => {
  process.stderr.write(`${text}\n`)
  tell({ kind: 'line', text })
})
const session = openSession({ place: { id, dir }, progress: toldProgress(lines, tell) })
tell({ kind: 'begin', reaper: { pid: session.reaper!, startTime: processStartTime(session.reaper!)! } })
tell({ kind: 'kernel', release: `${cell.name}.1` })
tell({ kind: 'phase', phase: 'machines' })
const boot = session.progress.step('boot node1')
await startService(session.ctx.registry, { name: 'sleeper', file: 'sleep', args: ['300'], logFile: join(dir, 'logs/sleeper.log') })
boot.done()
writeFileSync(join(meeting, cell.name), '')
appendFileSync(join(meeting, '..', 'begun.log'), `${readdirSync(meeting).length}\n`)

const tests: TestResult[] = []
const ran = (status: TestResult['status']): void => {
  const result: TestResult = { suite: 'fake', name: 'is told', status, ms: 5, startMs: 1, ...(status === 'failed' ? { message: 'expected green\nsaw red' } : {}) }
  tests.push(result)
  tell({ kind: 'suite', suite: 'fake', tests: 1 })
  tell({ kind: 'test', result })
}
const [behaviour] = cell.name.split('-')
tell({ kind: 'phase', phase: 'suites' })
if (behaviour === 'meets') await waitFor({ name: 'another cell', timeoutMs: 20_000, intervalMs: 20, signal: session.ctx.signal }, () => (readdirSync(meeting).length > 1 ? { done: true } : { seen: 'alone' }))
if (behaviour === 'dies') {
  session.progress.step('suites').update('about to die')
  ran('passed')
  // What was told must have left this process.
  await new Promise((resolve) => out.write('', resolve))
  await delay(50)
  process.kill(process.pid, 'SIGKILL')
}
if (behaviour === 'hangs') {
  process.stderr.write('hangs now\n')
  for (;;) await delay(1000)
}
if (behaviour === 'waits') while (!session.ctx.signal.aborted) await delay(20)
ran(behaviour === 'fails' ? 'failed' : 'passed')
if (behaviour === 'meets') await delay(200)
rmSync(join(meeting, cell.name))
await session.end()
const outcome = session.stopped !== undefined ? 'stopped' : behaviour === 'fails' ? 'failed' : behaviour === 'breaks' ? 'error' : 'passed'
const result: RunResult = { id, kernel: cell.name, release: `${cell.name}.1`, agent: 'lash', startedAt: new Date().toISOString(), ms: 10, outcome, tests, timeline: session.progress.timeline, command: 'npm run e2e', ...(outcome === 'error' ? { error: 'error (host): it broke' } : {}) }
writeCell(dir, result)
await new Promise<void>((resolve) => out.end(() => resolve()))
process.exit(behaviour === 'lies' ? 7 : codeOf(result))
