import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { Context } from '../core/context.ts'
import { explain, KernelbedError } from '../core/errors.ts'
import { endOwned, isAlive, processStartTime } from '../core/owned.ts'
import type { Owned } from '../core/registry.ts'
import { tailOf } from '../core/service.ts'
import { waitFor } from '../core/wait.ts'
import { loadResult } from '../report/load.ts'
import type { RunResult } from '../report/types.ts'
import type { CellEvent, Tell } from './cell-events.ts'
import { CellRecord, type CellFacts } from './cell-record.ts'
import { codeOf, writeCell } from './cell-results.ts'

/** Time a cell has to end what it started, after which it is killed and its reaper does it. */
const STOP_GRACE_MS = 20_000

export interface CellProcess extends CellFacts {
  readonly dir: string
  /** Program and arguments. */
  readonly command: readonly [string, ...string[]]
  /** Default: 20 s. */
  readonly stopGraceMs?: number
}

/**
 * Runs a cell in a process of its own and answers its result, which is in its folder too. It is asked to end when the context is aborted, killed when it does not,
 * and its result is then written here, as it is for a cell that died without one. Resolves when nothing of the cell is left. Never throws for what a cell does.
 */
export async function runCellProcess(cell: CellProcess, ctx: Context, tell: Tell): Promise<RunResult> {
  const log = join(cell.dir, 'logs', 'cell.log')
  mkdirSync(join(cell.dir, 'logs'), { recursive: true })
  const record = new CellRecord(cell)
  let reaper: (Owned & { kind: 'process' }) | undefined
  const hear = (event: CellEvent): void => {
    if (event.kind === 'begin') reaper = { kind: 'process', group: false, ...event.reaper }
    record.hear(event)
    tell(event)
  }
  const end = await run(cell, log, ctx, hear)
  if (reaper) await gone(reaper, cell, ctx)
  const result = resultOf(cell, end, record, log, ctx.signal.aborted)
  // Cells write their own; what is wrong with them is written here.
  if (result.written !== true) writeCell(cell.dir, result.result)
  return result.result
}

/** How a process ended. */
interface End { readonly code: number | null; readonly signal: NodeJS.Signals | null; readonly failure?: Error }

async function run(cell: CellProcess, log: string, ctx: Context, hear: (event: CellEvent) => void): Promise<End> {
  const owned: (Owned & { kind: 'process' })[] = []
  const claim = ctx.registry.claim(`cell ${cell.name}`, async () => {
    for (const process of owned) await endOwned(process, cell.stopGraceMs ?? STOP_GRACE_MS)
  })
  const [file, ...args] = cell.command
  const out = openSync(log, 'a')
  // In a session of its own: Ctrl-C in the terminal reaches the matrix, which asks each cell once. Not as a group: a cell ends its children itself.
  const child = spawn(file, args, { detached: true, stdio: ['ignore', out, out, 'pipe'] })
  closeSync(out)
  const ended = new Promise<End>((resolve) => child.once('error', (failure) => resolve({ code: null, signal: null, failure })).once('exit', (code, signal) => resolve({ code, signal })))
  if (child.pid !== undefined) {
    const held = { kind: 'process', pid: child.pid, startTime: processStartTime(child.pid) ?? 'gone', group: false } as const
    owned.push(held)
    claim.hold(held)
  }
  const stop = (): void => void claim.release().catch((error: unknown) => ctx.progress.note(`cell ${cell.name}: ${explain(error)}`))
  if (ctx.signal.aborted) stop()
  else ctx.signal.addEventListener('abort', stop, { once: true })
  const events = child.stdio[3] as Readable
  const heard = hearAll(events, hear)
  const end = await ended
  await heard
  ctx.signal.removeEventListener('abort', stop)
  await claim.release()
  return end
}

/** A line that is no whole event is the last one of a process that was killed. */
async function hearAll(events: Readable, hear: (event: CellEvent) => void): Promise<void> {
  for await (const line of createInterface({ input: events })) {
    let event: CellEvent
    try {
      event = JSON.parse(line) as CellEvent
    } catch {
      continue
    }
    hear(event)
  }
}

/** A dead cell's reaper ends what the cell left, then itself. */
async function gone(reaper: Owned & { kind: 'process' }, cell: CellProcess, ctx: Context): Promise<void> {
  await waitFor({ name: `the reaper of cell ${cell.name}`, timeoutMs: 30_000, intervalMs: 50 }, () => (isAlive(reaper) ? { seen: 'at work' } : { done: true }))
    .catch((error: unknown) => ctx.progress.note(explain(error)))
}

function resultOf(cell: CellProcess, end: End, record: CellRecord, log: string, stopped: boolean): { result: RunResult; written?: true } {
  const left = read(cell.dir)
  if (left && end.code === codeOf(left)) return { result: left, written: true }
  if (stopped) return { result: { ...record.result('stopped'), ...(end.signal === 'SIGKILL' ? { error: `it did not end within ${(cell.stopGraceMs ?? STOP_GRACE_MS) / 1000} s of being asked to, and was killed` } : {}) } }
  const how = end.failure ? `could not be started: ${end.failure.message}` : end.signal ? `was killed by ${end.signal}` : `ended with exit code ${end.code}${left ? ` although its result is "${left.outcome}"` : ' and left no result'}`
  const error = new KernelbedError(`the process of kernel ${cell.name} ${how}`, {
    blame: 'host',
    details: tailOf(log, 15),
    hint: end.signal === 'SIGKILL' ? `when nobody killed it, the host ran out of memory (dmesg tells): fewer --jobs, or smaller machines (--memory); its output: ${log}` : `its whole output: ${log}`,
  })
  return { result: { ...record.result('error'), error: explain(error) } }
}

function read(dir: string): RunResult | undefined {
  try {
    return loadResult(dir)
  } catch {
    return undefined
  }
}
