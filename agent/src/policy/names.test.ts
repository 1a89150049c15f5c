import dgram from 'node:dgram'
import { promises as dns } from 'node:dns'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { createLogger } from '../log.ts'
import { addressResolver, NamePoller } from './names.ts'

const log: string[] = []
let pollers: NamePoller[] = []
afterEach(() => { for (const poller of pollers) poller.stop(); pollers = []; log.length = 0 })

function start(resolve: (name: string) => Promise<string[]>, options: { now?: () => number; pollMs?: number; file?: string } = {}) {
  let changes = 0
  const poller = new NamePoller({ resolve, changed: () => { changes++ }, log: createLogger({ debug: false, write: (line) => void log.push(line) }), pollMs: 20, ...options })
  pollers.push(poller)
  return { poller, changes: () => changes }
}

describe('addresses of a name', () => {
  const gone = (code: string) => () => Promise.reject(Object.assign(new Error(`query ${code}`), { code }))
  const four = () => Promise.resolve(['10.9.1.1']), six = () => Promise.resolve(['fd09:1::1'])
  const resolver = (resolve4: () => Promise<string[]>, resolve6: () => Promise<string[]>) => ({ resolve4, resolve6 }) as unknown as Parameters<typeof addressResolver>[1]

  it('are those of both families, of which one will do', async () => {
    expect(await addressResolver(true, resolver(four, six))('a')).toEqual(['10.9.1.1', 'fd09:1::1'])
    expect(await addressResolver(true, resolver(gone('ENODATA'), six))('a')).toEqual(['fd09:1::1'])
    expect(await addressResolver(true, resolver(four, gone('ETIMEOUT')))('a')).toEqual(['10.9.1.1'])
    expect(await addressResolver(false, resolver(four, six))('a')).toEqual(['10.9.1.1'])
    await expect(addressResolver(true, resolver(gone('ENOTFOUND'), gone('ETIMEOUT')))('a')).rejects.toMatchObject({ code: 'ENOTFOUND' })
  })
})

describe('names of rules', () => {
  it('are asked for at once and then again and again, of a server by DNS', async () => {
    let answer = [10, 9, 1, 1]
    const server = dgram.createSocket('udp4')
    server.on('message', (query, from) => {
      const head = Buffer.from(query.subarray(0, 12))
      head.writeUInt16BE(0x8180, 2)
      head.writeUInt16BE(1, 6)
      head.writeUInt16BE(0, 10)
      const end = query.indexOf(0, 12) + 5
      server.send(Buffer.concat([head, query.subarray(12, end), Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, ...answer])]), from.port, from.address)
    })
    server.bind(0, '127.0.0.1')
    await once(server, 'listening')
    const resolver = new dns.Resolver()
    resolver.setServers([`127.0.0.1:${server.address().port}`])
    const { poller } = start((name) => resolver.resolve4(name))
    poller.watch(new Set(['deathstar.example']))
    await expect.poll(() => poller.addresses('deathstar.example')).toEqual(['10.9.1.1'])
    answer = [10, 9, 1, 2]
    await expect.poll(() => poller.addresses('deathstar.example')).toEqual(['10.9.1.1', '10.9.1.2'])
    server.close()
  })

  it('tell only of what changed, and forget an address an hour after it was last given', async () => {
    let now = 0, answer = ['10.0.0.1']
    const { poller, changes } = start(() => Promise.resolve(answer), { now: () => now, pollMs: 1_000_000 })
    poller.watch(new Set(['a']))
    await expect.poll(changes).toBe(1)
    await poller.poll()
    expect(changes()).toBe(1)
    answer = ['10.0.0.2']
    now = 3_000_000
    await poller.poll()
    expect([poller.addresses('a'), changes()]).toEqual([['10.0.0.1', '10.0.0.2'], 2])
    now = 3_700_000
    await poller.poll()
    expect(poller.addresses('a')).toEqual(['10.0.0.2'])
  })

  it('have the addresses of before from the start of the next agent', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'lash-names-'))
    const file = join(dir, 'names.json')
    const first = start(() => Promise.resolve(['10.0.0.1']), { file })
    first.poller.watch(new Set(['a']))
    await expect.poll(() => first.poller.addresses('a')).toEqual(['10.0.0.1'])
    first.poller.stop()
    const { poller } = start(() => Promise.reject(new Error('down')), { file })
    poller.watch(new Set(['a', 'b']))
    expect([poller.addresses('a'), poller.addresses('b')]).toEqual([['10.0.0.1'], []])
    writeFileSync(file, '{"a"')
    expect(start(() => Promise.reject(new Error('down')), { file }).poller.addresses('a')).toEqual([])
    expect(log.at(-1)).toContain('Unable to read the addresses of names')
    rmSync(dir, { recursive: true })
  })

  it('that fail keep what they had, with one warning; those that go are forgotten', async () => {
    let fails = false
    const { poller } = start(() => (fails ? Promise.reject(new Error('queryA ETIMEOUT a')) : Promise.resolve(['10.0.0.1'])))
    poller.watch(new Set(['a']))
    await expect.poll(() => poller.addresses('a')).toEqual(['10.0.0.1'])
    fails = true
    await poller.poll()
    await poller.poll()
    expect(poller.addresses('a')).toEqual(['10.0.0.1'])
    expect(log.filter((line) => line.includes('ETIMEOUT'))).toHaveLength(1)
    poller.watch(new Set())
    expect(poller.addresses('a')).toEqual([])
  })
})
