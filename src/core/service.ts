import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { KernelbedError, type Blame } from './errors.ts'
import { endOwned, isAlive, processStartTime } from './owned.ts'
import type { Owned, Registry } from './registry.ts'

export interface ServiceSpec {
  readonly name: string
  readonly file: string
  readonly args: readonly string[]
  /** stdout and stderr go here; appended. */
  readonly logFile: string
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly blame?: Blame
  /** Time between SIGTERM and SIGKILL. Default 2000; 0 kills at once. */
  readonly graceMs?: number
}

/** A long-lived child in a session of its own, which survives the runner (`--keep`) and is ended by the registry or the reaper. */
export interface Service {
  readonly name: string
  readonly pid: number
  readonly logFile: string
  readonly alive: boolean
  /** Throws a KernelbedError with the log's last lines when the process has ended. For use inside waits. */
  assertAlive(): void
  logTail(lines: number): string
  stop(): Promise<void>
}

/** Starts a service; claimed before it starts. Throws KernelbedError when the program can't be run. */
export async function startService(registry: Registry, spec: ServiceSpec): Promise<Service> {
  mkdirSync(dirname(spec.logFile), { recursive: true })
  const started: (Owned & { kind: 'process' })[] = []
  const claim = registry.claim(spec.name, async () => {
    for (const owned of started) await endOwned(owned, spec.graceMs ?? 2000)
  })
  const log = openSync(spec.logFile, 'a')
  const child = spawn(spec.file, spec.args, { detached: true, stdio: ['ignore', log, log], env: { ...process.env, ...spec.env }, ...(spec.cwd === undefined ? {} : { cwd: spec.cwd }) })
  closeSync(log)
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', (cause) => reject(new KernelbedError(`${spec.name}: cannot run ${spec.file}: ${cause.message}`, { blame: 'host', hint: 'run the README\'s set-up command again', cause })))
  })
  const pid = child.pid ?? -1
  let ended: string | undefined
  child.once('exit', (code, signalName) => (ended = signalName ? `killed by ${signalName}` : `exit code ${code}`))
  child.unref()
  const held = { kind: 'process', pid, startTime: processStartTime(pid) ?? 'gone', group: true } as const
  started.push(held)
  claim.hold(held)
  const logTail = (lines: number): string => tailOf(spec.logFile, lines)
  return {
    name: spec.name,
    pid,
    logFile: spec.logFile,
    logTail,
    get alive() {
      return isAlive(held)
    },
    assertAlive: () => {
      if (isAlive(held)) return
      throw new KernelbedError(`${spec.name} ended${ended ? ` (${ended})` : ''}`, { blame: spec.blame ?? 'host', details: logTail(15), hint: `its whole log: ${spec.logFile}` })
    },
    stop: () => claim.release(),
  }
}

/** Last lines of a file, or an empty string. */
export function tailOf(file: string, lines: number): string {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
  } catch {
    return ''
  }
}
