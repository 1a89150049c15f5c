import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { attachMachine } from './machine.ts'
import type { Machine, MachineHandle } from './types.ts'

const COMMANDS: Readonly<Record<string, string>> = {
  'dmesg.txt': 'dmesg',
  'ps.txt': 'ps -ef 2>/dev/null || ps',
  'ip.txt': 'for c in "addr" "route show table all" "rule" "neigh" "-s link"; do echo "# ip $c"; ip $c; done',
  'memory.txt': 'cat /proc/meminfo /proc/loadavg; df -h',
}
const COMMAND_MS = 20_000

/**
 * Copies a machine's console and, when SSH answers, dmesg, processes, addresses, routes and `/var/log/*.log` into `outDir`. Never throws: returns
 * what could not be had, one line each, which is also in `outDir/missing.txt`.
 */
export async function collectMachine(handle: MachineHandle, outDir: string): Promise<string[]> {
  const missing: string[] = []
  const attempt = async (what: string, act: () => Promise<void> | void): Promise<void> => {
    try {
      await act()
    } catch (error) {
      missing.push(`${handle.name}: ${what}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  await attempt('folder', () => void mkdirSync(outDir, { recursive: true }))
  await attempt('console', () => copyFileSync(handle.consoleFile, join(outDir, 'console.log')))
  await attempt('SSH', async () => {
    const machine = await attachMachine(handle)
    try {
      await Promise.all([...Object.entries(COMMANDS).map(([file, command]) => attempt(file, () => save(machine, command, join(outDir, file)))), attempt('logs', () => saveLogs(machine, outDir))])
    } finally {
      await machine.close()
    }
  })
  if (missing.length) await attempt('missing.txt', () => writeFileSync(join(outDir, 'missing.txt'), `${missing.join('\n')}\n`))
  return missing
}

async function save(machine: Machine, command: string, file: string): Promise<void> {
  const { stdout, stderr } = await machine.exec(command, { timeoutMs: COMMAND_MS, allowFailure: true })
  writeFileSync(file, stdout + stderr)
}

/** The last 2 MB of each log. */
async function saveLogs(machine: Machine, outDir: string): Promise<void> {
  const { stdout } = await machine.exec('ls /var/log/*.log', { timeoutMs: COMMAND_MS, allowFailure: true })
  for (const path of stdout.split('\n').filter(Boolean)) await save(machine, `tail -c 2000000 '${path}'`, join(outDir, path.slice(path.lastIndexOf('/') + 1)))
}
