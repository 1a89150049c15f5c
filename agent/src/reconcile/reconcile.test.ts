import { describe, expect, it } from 'vitest'
import { createLogger } from '../log.ts'
import { Controller } from './controller.ts'
import { applyDiff } from './diff.ts'
import { Problems, SomeFailed } from './problems.ts'

const full = new Error('updating map cilium_cidr: E2BIG; it is full (4096 entries)')
const caught = (run: () => void): unknown => { try { run() } catch (error) { return error } return undefined }

describe('what fails of a run', () => {
  const messageOf = (...found: [string, unknown][]) => {
    const problems = new Problems()
    for (const [item, error] of found) problems.add(item, error)
    return (caught(() => problems.end()) as Error).message
  }

  it('is named, what fails alike together', () => {
    expect(messageOf(['10.1.0.0/16', full])).toBe('10.1.0.0/16: updating map cilium_cidr: E2BIG; it is full (4096 entries)')
    expect(messageOf(['a', full], ['endpoint 7', new Error('gone')], ['b', full])).toBe('a, b: updating map cilium_cidr: E2BIG; it is full (4096 entries); endpoint 7: gone')
  })

  it('is bounded, however much it is', () => {
    expect(messageOf(...Array.from({ length: 1000 }, (_, i): [string, unknown] => [`p${i}`, full]))).toBe(`p0, p1, p2 and 997 more: ${full.message}`)
    const text = messageOf(...Array.from({ length: 1000 }, (_, i): [string, unknown] => [`p${i}`, new Error(`${i}${'x'.repeat(1000)}`)]))
    expect(text.length).toBeLessThan(1300)
    expect(text).toMatch(/; and 997 more$/)
  })

  it('is nothing when all went well', () => expect(caught(() => new Problems().end())).toBeUndefined())
})

describe('a difference', () => {
  it('is applied past what is refused, which is told and tried again', () => {
    const have = new Map([['gone', 1], ['same', 2], ['changed', 3], ['stuck', 9]])
    const want = new Map([['new', 4], ['same', 2], ['changed', 5], ['last', 6]])
    const done: string[] = []
    let refused = ['new', 'stuck']
    const act = (verb: string) => (value: number, key: string) => { if (refused.includes(key)) throw new Error('no room'); done.push(`${verb} ${key}=${value}`) }
    const run = () => applyDiff(have, want, { upsert: act('upsert'), remove: act('remove') })
    expect(caught(run)).toMatchObject({ message: 'new, stuck: no room', items: new Map([['new', 'no room'], ['stuck', 'no room']]) })
    expect(done).toEqual(['upsert changed=5', 'upsert last=6', 'remove gone=1'])
    expect(Object.fromEntries(have)).toEqual({ same: 2, changed: 5, last: 6, stuck: 9 })
    refused = []
    expect(caught(run)).toBeUndefined()
    expect(done.slice(3)).toEqual(['upsert new=4', 'remove stuck=9'])
    expect(Object.fromEntries(have)).toEqual(Object.fromEntries(want))
  })
})

describe('a controller', () => {
  const lines: string[] = []
  const log = createLogger({ debug: false, write: (line) => void lines.push(line) })

  it('says why it fails, of one item too, in its status and the log, and when it works again', async () => {
    let problem: Error | undefined = new SomeFailed(new Map([['a', 'no room']]))
    const controller = new Controller('ipcache-sync', () => { if (problem !== undefined) throw problem }, log)
    await controller.settle()
    await controller.settle()
    expect([controller.failure(), controller.failure('a'), controller.failure('b')]).toEqual(['a: no room', 'no room', undefined])
    expect(controller.status).toMatchObject({ consecutiveFailures: 2, message: 'a: no room' })
    problem = new Error('all is lost')
    await controller.settle()
    expect(controller.failure('b')).toBe('all is lost')
    problem = undefined
    await controller.settle()
    expect([controller.failure(), controller.failure('a'), controller.status.consecutiveFailures]).toEqual([undefined, undefined, 0])
    expect(lines).toEqual([
      'level=warning msg="Controller failed, retrying" controller=ipcache-sync error="a: no room" subsys=daemon',
      'level=warning msg="Controller failed, retrying" controller=ipcache-sync error="all is lost" subsys=daemon',
      'level=info msg="Controller works again" controller=ipcache-sync failures=3 subsys=daemon',
    ])
    await controller.stop()
  })
})
