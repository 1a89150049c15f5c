import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ownerVariable, processStartTime } from '../../core/owned.ts'
import { LineProgress } from '../../core/progress.ts'
import { Registry } from '../../core/registry.ts'
import { noteMachines, removeStale } from './stale.ts'

let cache: string
let machine: ChildProcess | undefined

beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), 'kb-'))
})

afterEach(() => {
  machine?.kill('SIGKILL')
  rmSync(cache, { recursive: true, force: true })
})

const notes = (): string[] => readdirSync(join(cache, 'vagrant'))

/** A note of a run of this process, or of one that is gone. */
function note(run: string, { dir = join(cache, 'run'), alive = false } = {}): string {
  mkdirSync(join(cache, 'vagrant'), { recursive: true })
  mkdirSync(dir, { recursive: true })
  const path = join(dir, 'vagrant')
  mkdirSync(path)
  writeFileSync(join(cache, 'vagrant', `${run}.json`), JSON.stringify({ run, dir, pid: process.pid, startTime: alive ? processStartTime(process.pid) : '1', machines: ['node1', 'node2'], paths: [path] }))
  return path
}

describe('stale machines', () => {
  it('of a run that is gone are ended, and what they left is removed', async () => {
    const path = note('gone-1')
    machine = spawn('sleep', ['1000'], { env: { ...process.env, [ownerVariable]: 'gone-1' } })
    await once(machine, 'spawn')
    const ended = once(machine, 'exit')
    expect(await removeStale({ cache })).toEqual(['removed node1, node2 of Vagrant, which run gone-1 left (1 processes)'])
    expect((await ended)[1]).toBe('SIGKILL')
    expect(existsSync(path)).toBe(false)
    expect(notes()).toEqual([])
  })

  it('are not those of a run that lives, or was kept', async () => {
    const [living, kept] = [note('living', { alive: true }), note('kept', { dir: join(cache, 'kept') })]
    writeFileSync(join(cache, 'kept', 'kept.json'), '[]')
    expect(await removeStale({ cache })).toEqual([])
    expect([existsSync(living), existsSync(kept)]).toEqual([true, true])
    expect(notes().sort()).toEqual(['kept.json', 'living.json'])
  })

  it('are not looked for in a note that was cut short', async () => {
    mkdirSync(join(cache, 'vagrant'))
    writeFileSync(join(cache, 'vagrant', 'x.json'), '{"run":')
    expect(await removeStale({ cache })).toEqual([])
    expect(notes()).toEqual([])
  })

  it('are noted until the run ends', async () => {
    const registry = new Registry()
    noteMachines(['node1'], [], { registry, cache, progress: new LineProgress(() => undefined), dir: join(cache, 'run-7'), sockets: cache, signal: new AbortController().signal })
    expect(notes()).toHaveLength(1)
    expect(await removeStale({ cache })).toEqual([])
    await registry.releaseAll()
    expect(notes()).toEqual([])
  })
})
