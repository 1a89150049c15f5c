import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { processesOf } from './owned.ts'
import { waitFor } from './wait.ts'

// A runner that starts a service, a grandchild in a session of its own and a folder, says so, and then hangs.
const runner = (dir: string, run: string): string => `
  import { spawn } from 'node:child_process'
  import { Reaper } from ${JSON.stringify(new URL('./reaper.ts', import.meta.url).href)}
  import { Registry } from ${JSON.stringify(new URL('./registry.ts', import.meta.url).href)}
  import { startService } from ${JSON.stringify(new URL('./service.ts', import.meta.url).href)}
  const registry = new Registry(new Reaper(${JSON.stringify(run)}))
  process.env.KERNELBED_OWNER = ${JSON.stringify(run)}
  registry.claim('dir', () => {}).hold({ kind: 'path', path: ${JSON.stringify(dir)} })
  await startService(registry, { name: 'sleeper', file: 'sleep', args: ['300'], logFile: ${JSON.stringify(join(dir, 'log'))} })
  spawn('sh', ['-c', 'setsid sleep 300 & wait'], { stdio: 'ignore' })
  console.log('up')
  setInterval(() => {}, 1000)
`

test('after SIGKILL of the runner no process and no folder of the run is left', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'kb-reaper-'))
  const run = `test-${process.pid}-${Date.now()}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', runner(dir, run)], { stdio: ['ignore', 'pipe', 'inherit'] })
  await new Promise((resolve) => child.stdout.once('data', resolve))
  await waitFor({ name: 'service, shell and grandchild', timeoutMs: 5000, intervalMs: 10 }, () => (processesOf(run).length >= 3 ? { done: true } : { seen: `${processesOf(run).length}` }))
  child.kill('SIGKILL')
  const clean = await waitFor({ name: 'nothing to be left', timeoutMs: 10_000, intervalMs: 20 }, () => (processesOf(run).length === 0 && !existsSync(dir) ? { done: true } : { seen: processesOf(run).join(' ') }))
  expect(clean).toBe(true)
})
