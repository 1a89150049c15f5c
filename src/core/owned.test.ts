import { spawn } from 'node:child_process'
import { mkdtempSync, existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { endOwned, isAlive, processStartTime } from './owned.ts'

test('a process is ended by its id and start time, and a re-used id is left alone', async () => {
  const child = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' })
  const owned = { kind: 'process' as const, pid: child.pid!, startTime: processStartTime(child.pid!)!, group: true }
  await endOwned({ ...owned, startTime: '1' }, 0)
  expect(isAlive(owned)).toBe(true)
  await endOwned(owned, 0)
  expect(isAlive(owned)).toBe(false)
})

test('a process that ignores SIGTERM is killed after its grace', async () => {
  const child = spawn('sh', ['-c', 'trap "" TERM; echo ready; while :; do sleep 0.05; done'], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] })
  await new Promise((resolve) => child.stdout.once('data', resolve))
  const owned = { kind: 'process' as const, pid: child.pid!, startTime: processStartTime(child.pid!)!, group: true }
  await endOwned(owned, 100)
  expect(isAlive(owned)).toBe(false)
})

test('a path is removed with what is in it', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'kb-test-'))
  await endOwned({ kind: 'path', path: dir }, 0)
  expect(existsSync(dir)).toBe(false)
})
