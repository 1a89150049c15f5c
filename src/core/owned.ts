import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { runCommand } from './command.ts'
import type { Owned } from './registry.ts'

/** Start time of a process in clock ticks since boot (proc(5), field 22); undefined when there is no such process or it is a zombie. */
export function processStartTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

export const isAlive = (owned: Owned & { kind: 'process' }): boolean => processStartTime(owned.pid) === owned.startTime

function signal(owned: Owned & { kind: 'process' }, name: NodeJS.Signals): void {
  if (!isAlive(owned)) return
  try {
    process.kill(owned.group ? -owned.pid : owned.pid, name)
  } catch {
    // gone between the look and the signal
  }
}

/** Ends a process (SIGTERM, after `graceMs` SIGKILL), removes a path, or runs the program that ends what is elsewhere (two minutes at most). Resolves when it is gone. */
export async function endOwned(owned: Owned, graceMs: number): Promise<void> {
  if (owned.kind === 'command') {
    await runCommand(owned.argv[0], owned.argv.slice(1), { timeoutMs: 120_000 })
    return
  }
  if (owned.kind === 'path') return rmSync(owned.path, { recursive: true, force: true })
  signal(owned, graceMs > 0 ? 'SIGTERM' : 'SIGKILL')
  const start = performance.now()
  let killed = graceMs === 0
  while (isAlive(owned)) {
    const waited = performance.now() - start
    if (!killed && waited > graceMs) {
      signal(owned, 'SIGKILL')
      killed = true
    }
    if (waited > graceMs + 5000) throw new Error(`process ${owned.pid} does not end`)
    await delay(10)
  }
}

/** Environment variable whose value, the run's id, every descendant of a run inherits. */
export const ownerVariable = 'KERNELBED_OWNER'

/** Processes whose environment says that they belong to the run: children of children too, whatever session they moved to. */
export function processesOf(run: string): number[] {
  const mark = `${ownerVariable}=${run}`
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    if (pid === process.pid) return false
    try {
      return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(mark)
    } catch {
      return false
    }
  })
}

/** Kills every process of the run, those that appear meanwhile too. Answers how many there were. */
export async function sweepProcesses(run: string): Promise<number> {
  const seen = new Set<number>()
  for (let round = 0; round < 100; round++) {
    const pids = processesOf(run)
    if (pids.length === 0) return seen.size
    for (const pid of pids) {
      seen.add(pid)
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // gone between the look and the signal
      }
    }
    await delay(20)
  }
  return seen.size
}
