import { readFileSync } from 'node:fs'

/** USER_HZ, 100 on every Linux of this architecture. */
const TICKS_PER_SECOND = 100

/** Processor time a process has used, user and system, in seconds (proc(5): stat, fields 14 and 15); 0 when it is gone. */
export function cpuSecondsOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
  } catch {
    return 0
  }
}
