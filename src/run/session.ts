import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ownerVariable, sweepProcesses } from '../core/owned.ts'
import { LineProgress, type Progress } from '../core/progress.ts'
import { Reaper } from '../core/reaper.ts'
import { Registry } from '../core/registry.ts'
import type { Context } from '../core/context.ts'
import { cacheDir, runsDir } from './places.ts'

/** One run: its context, and the two ways it ends. */
export interface Session {
  readonly id: string
  readonly ctx: Context
  readonly progress: Progress
  /** The process that cleans up after this one; it ends when everything is gone. */
  readonly reaper: number | undefined
  /** Why the run was asked to stop (`SIGINT`, …), if it was. */
  readonly stopped: string | undefined
  /** Ends everything the run started. */
  end(): Promise<void>
  /** Leaves what is held running and answers it, for `npm run down`. */
  keep(): Promise<Registry['held']>
}

const newId = (): string => `${new Date().toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15)}-${randomBytes(2).toString('hex')}`

export interface SessionOptions {
  /** Id and folder, for a cell of a matrix; default: a new id, and its folder in `.kernelbed/runs`. */
  readonly place?: { readonly id: string; readonly dir: string }
  /** Default: plain lines on stderr. */
  readonly progress?: Progress
  /** Hears that the run was asked to stop. Default: a line on stderr. */
  readonly say?: (line: string) => void
}

/** Makes the run's folder and its owner. The reaper runs from here on. */
export function openSession(options: SessionOptions = {}): Session {
  const id = options.place?.id ?? newId()
  const dir = options.place?.dir ?? join(runsDir(), id)
  const say = options.say ?? ((line) => process.stderr.write(`\n${line}\n`))
  mkdirSync(join(dir, 'logs'), { recursive: true })
  const reaper = new Reaper(id)
  process.env[ownerVariable] = id
  const registry = new Registry(reaper)
  const abort = new AbortController()
  let stopped: string | undefined
  const stop = (why: string): void => {
    if (stopped !== undefined) return
    stopped = why
    say(`${why}: stopping; everything started is being ended`)
    abort.abort()
  }
  const ignore = listenForStop(stop)
  const sockets = mkdtempSync(join(tmpdir(), 'kb-'))
  registry.claim('socket folder', () => rmSync(sockets, { recursive: true, force: true })).hold({ kind: 'path', path: sockets })
  // State of the cluster and keys that open it: of no use once it is gone. What explains a failure is in logs/ and evidence/.
  const state = ['etcd', 'agent-etcd', 'control-plane', 'pki', 'ssh', 'kubeconfig', 'run.json'].map((name) => join(dir, name))
  const claim = registry.claim('state of the cluster', () => state.forEach((path) => rmSync(path, { recursive: true, force: true })))
  for (const path of state) claim.hold({ kind: 'path', path })
  const progress = options.progress ?? new LineProgress()
  process.env['KERNELBED_JOURNAL'] = join(dir, 'commands.log')
  const close = async (): Promise<void> => {
    ignore()
    await reaper.letGo()
  }
  return {
    id,
    progress,
    reaper: reaper.pid,
    ctx: { registry, progress, dir, sockets, cache: cacheDir(), signal: abort.signal },
    get stopped() {
      return stopped
    },
    end: async () => {
      // The reaper lets go only after everything is released: if this process is killed meanwhile, the rest is still cleaned up.
      try {
        await registry.releaseAll()
      } finally {
        await sweepProcesses(id)
        await close()
      }
    },
    keep: async () => {
      await close()
      return registry.held
    },
  }
}

/**
 * Runs a command that is no run of the suites in a session of its own, and ends all that it started. Answers what `body` does, or 130 when it was stopped. The folder goes too,
 * as there is no result to keep, unless `keepFolder`.
 */
export async function inSession(body: (session: Session) => Promise<number>, { keepFolder = false }: { readonly keepFolder?: boolean } = {}): Promise<number> {
  const session = openSession()
  try {
    return await body(session)
  } catch (error) {
    if (session.stopped !== undefined) return 130
    throw error
  } finally {
    await session.end()
    if (!keepFolder) rmSync(session.ctx.dir, { recursive: true, force: true })
  }
}

/** Signals, and the end of the process that started this one (npm killed: nobody waits for the result). */
function listenForStop(stop: (why: string) => void): () => void {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  const handlers = signals.map((name) => [name, () => stop(name)] as const)
  for (const [name, handler] of handlers) process.on(name, handler)
  const parent = process.ppid
  const watch = setInterval(() => {
    if (parent !== 1 && process.ppid !== parent) stop('the process that started this run ended')
  }, 1000)
  watch.unref()
  return () => {
    clearInterval(watch)
    for (const [name, handler] of handlers) process.off(name, handler)
  }
}
