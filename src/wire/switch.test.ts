import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LineProgress } from '../core/progress.ts'
import { Registry } from '../core/registry.ts'
import { waitFor } from '../core/wait.ts'
import { readCapture } from './capture-follower.ts'
import { attachWire, startWire } from './wire.ts'
import type { Context } from '../core/context.ts'

/** Stands in for QEMU's `-netdev stream,server=on`. */
class FakeMachine {
  readonly path: string
  readonly mac: string
  readonly received: Buffer[] = []
  readonly sockets = new Set<Socket>()
  readonly #server: Server
  reading = true
  #rest = Buffer.alloc(0)

  constructor(dir: string, n: number, name = `m${n}`) {
    this.path = join(dir, `${name}.sock`)
    this.mac = `5254007700${n.toString(16).padStart(2, '0')}`
    this.#server = createServer((socket) => {
      this.sockets.add(socket)
      if (!this.reading) socket.pause()
      socket.on('close', () => this.sockets.delete(socket)).on('error', () => undefined).on('data', (chunk: Buffer) => this.#read(chunk))
    })
  }

  listen(): Promise<void> {
    return new Promise((resolve) => void this.#server.listen(this.path, resolve))
  }

  send(to: string, payload: string | Buffer, count = 1): void {
    const frame = Buffer.concat([Buffer.from(`${to}${this.mac}88b5`, 'hex'), Buffer.from(payload)])
    const length = Buffer.alloc(4)
    length.writeUInt32BE(frame.length)
    const one = Buffer.concat([length, frame])
    for (const socket of this.sockets) socket.write(Buffer.concat(Array.from({ length: count }, () => one)))
  }

  get payloads(): string[] {
    return this.received.map((frame) => frame.subarray(14).toString())
  }

  async got(payload: string): Promise<void> {
    await waitFor({ name: `frame ${payload}`, timeoutMs: 5000, intervalMs: 5 }, () => (this.payloads.includes(payload) ? { done: undefined } : { seen: this.payloads.slice(-3).join() }))
  }

  close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    return new Promise((resolve) => void this.#server.close(() => resolve()))
  }

  #read(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk])
    while (this.#rest.length >= 4 && this.#rest.length >= 4 + this.#rest.readUInt32BE(0)) {
      const end = 4 + this.#rest.readUInt32BE(0)
      this.received.push(this.#rest.subarray(4, end))
      this.#rest = this.#rest.subarray(end)
    }
  }
}

const BROADCAST = 'ffffffffffff'
let dir: string
let ctx: Context
let wire: Awaited<ReturnType<typeof startWire>>
let machines: FakeMachine[]

async function addMachine(n: number, name?: string): Promise<FakeMachine> {
  const machine = new FakeMachine(dir, n, name)
  machines.push(machine)
  await machine.listen()
  await wire.attach(`node${n}`, machine.path)
  return machine
}

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'kbw-'))
  ctx = { registry: new Registry(), progress: new LineProgress(() => undefined), dir, sockets: dir, cache: dir, signal: new AbortController().signal }
  machines = []
  wire = await startWire(ctx)
})

afterEach(async () => {
  await ctx.registry.releaseAll()
  await Promise.all(machines.map((machine) => machine.close()))
  rmSync(dir, { recursive: true, force: true })
})

describe('the wire', () => {
  it('floods what it does not know and sends what it has learned to one port', async () => {
    const [a, b, c] = [await addMachine(1), await addMachine(2), await addMachine(3)]
    a.send(BROADCAST, 'hello')
    await Promise.all([b.got('hello'), c.got('hello')])
    b.send(a.mac, 'to a')
    await a.got('to a')
    a.send(b.mac, 'to b')
    await b.got('to b')
    a.send(BROADCAST, 'end')
    await c.got('end')
    expect(c.payloads).toEqual(['hello', 'end'])
    expect(a.payloads).toEqual(['to a'])
  })

  it('keeps the order of frames and gives back every one of a large burst', async () => {
    const [a, b] = [await addMachine(1), await addMachine(2)]
    b.send(BROADCAST, 'I am here')
    await a.got('I am here')
    for (let i = 0; i < 2000; i++) a.send(b.mac, `${i}`.padEnd(1000))
    await b.got('1999'.padEnd(1000))
    expect(b.payloads.map(Number)).toEqual(Array.from({ length: 2000 }, (_, i) => i))
  })

  it('captures every frame after the capture began, with the port it came from', async () => {
    const [a, b] = [await addMachine(1), await addMachine(2)]
    a.send(BROADCAST, 'before')
    await b.got('before')
    const [capture, second] = [await wire.capture(join(dir, 'a.pcap')), await wire.capture(join(dir, 'deep', 'b.pcap'))]
    const before = BigInt(Date.now()) * 1_000_000n
    b.send(a.mac, 'reply')
    await a.got('reply')
    const frames = await capture.frames()
    expect(frames).toMatchObject([{ port: 'node2', src: '52:54:00:77:00:02', dst: '52:54:00:77:00:01', etherType: 0x88b5, length: 19 }])
    expect(Number((frames[0]?.timeNs ?? 0n) - before) / 1e6).toSatisfy((ms: number) => ms > -5 && ms < 5000)
    a.send(b.mac, 'again')
    await b.got('again')
    await second.stop()
    await second.stop()
    a.send(b.mac, 'after')
    await b.got('after')
    expect((await capture.frames()).map((frame) => frame.port)).toEqual(['node2', 'node1', 'node1'])
    expect(await second.frames()).toHaveLength(2)
    expect(await readCapture(join(dir, 'deep', 'b.pcap'))).toHaveLength(2)
  })

  it('drops frames between two ports when cut, captures none of them, and restores', async () => {
    const [a, b, c] = [await addMachine(1), await addMachine(2), await addMachine(3)]
    const capture = await wire.capture(join(dir, 'cut.pcap'))
    await wire.cut('node2', 'node1')
    a.send(BROADCAST, 'severed')
    await c.got('severed')
    c.send(BROADCAST, 'both hear')
    await Promise.all([a.got('both hear'), b.got('both hear')])
    b.send(a.mac, 'not heard')
    await waitFor({ name: 'the cut to be counted', timeoutMs: 5000 }, async () => ((await wire.stats()).some((s) => s.port === 'node2' && s.cut === 1) ? { done: 0 } : { seen: '' }))
    expect(b.payloads).not.toContain('severed')
    expect(await capture.frames()).toHaveLength(2)
    await wire.restore()
    b.send(a.mac, 'heard')
    await a.got('heard')
    expect(a.payloads).not.toContain('not heard')
  })

  it('isolates one port', async () => {
    const [a, b, c] = [await addMachine(1), await addMachine(2), await addMachine(3)]
    await wire.cut('node1')
    a.send(BROADCAST, 'from a')
    b.send(BROADCAST, 'from b')
    await c.got('from b')
    await waitFor({ name: 'the cut to be counted', timeoutMs: 5000 }, async () => ((await wire.stats()).some((s) => s.port === 'node1' && s.cut === 1) ? { done: 0 } : { seen: '' }))
    expect([a.payloads, b.payloads]).toEqual([[], []])
  })

  it('loses about the share asked for', async () => {
    const [a, b] = [await addMachine(1), await addMachine(2)]
    await wire.impair({ loss: 0.5 })
    a.send(BROADCAST, 'x', 2000)
    await waitFor({ name: 'all to be counted', timeoutMs: 5000 }, async () => ((await wire.stats())[0]?.rxFrames === 2000 ? { done: 0 } : { seen: '' }))
    await wire.impair({})
    a.send(BROADCAST, 'last')
    await b.got('last')
    expect(b.received.length).toBeGreaterThan(800)
    expect(b.received.length).toBeLessThan(1200)
    expect((await wire.stats())[0]?.dropped).toBe(2001 - b.received.length)
  })

  it('delays frames and keeps their order, also when the delay ends', async () => {
    const [a, b] = [await addMachine(1), await addMachine(2)]
    await wire.impair({ delayMs: 150 })
    const start = performance.now()
    a.send(BROADCAST, 'slow')
    await waitFor({ name: 'it to be read', timeoutMs: 5000, intervalMs: 1 }, async () => ({ done: await wire.impair({}) }))
    await delay(20)
    a.send(BROADCAST, 'next')
    await b.got('next')
    expect(performance.now() - start).toBeGreaterThan(145)
    expect(b.payloads).toEqual(['slow', 'next'])
  })

  it('connects again to a machine that went away', async () => {
    const [a, b] = [await addMachine(1), await addMachine(2)]
    await b.close()
    await waitFor({ name: 'the port to be down', timeoutMs: 5000 }, async () => ((await wire.stats())[1]?.connected === false ? { done: 0 } : { seen: '' }))
    a.send(BROADCAST, 'nobody there')
    const again = await addMachine(2)
    a.send(BROADCAST, 'welcome back')
    await again.got('welcome back')
    expect(again.payloads).toEqual(['welcome back'])
    expect((await wire.stats())[1]).toMatchObject({ port: 'node2', connected: true, overrun: 1 })
  })

  it('drops and counts when a machine does not read, and the others go on', async () => {
    const [a, c] = [await addMachine(1), await addMachine(3)]
    const stuck = new FakeMachine(dir, 2)
    stuck.reading = false
    machines.push(stuck)
    await stuck.listen()
    await wire.attach('node2', stuck.path)
    for (let i = 0; i < 40; i++) {
      a.send(BROADCAST, Buffer.alloc(1400), 256)
      await delay(1)
    }
    a.send(BROADCAST, 'still here')
    await c.got('still here')
    const stats = await wire.stats()
    expect(stats.find((s) => s.port === 'node2')?.overrun).toBeGreaterThan(0)
    expect(c.received).toHaveLength(40 * 256 + 1)
  })

  it('survives a machine whose stream is out of step', async () => {
    const [a, b] = [await addMachine(1), await addMachine(2)]
    for (const socket of a.sockets) socket.write(Buffer.from('ffffffff', 'hex'))
    await waitFor({ name: 'a new connection', timeoutMs: 5000, intervalMs: 5 }, () => {
      a.send(BROADCAST, 'fresh')
      return b.payloads.includes('fresh') ? { done: 0 } : { seen: '' }
    })
  })

  it('can be reached from another process by its handle, and leaves no socket when stopped', async () => {
    await addMachine(1)
    expect(await attachWire(wire.handle).stats()).toMatchObject([{ port: 'node1', connected: true }])
    await wire.stop()
    await expect(attachWire(wire.handle).stats()).rejects.toThrow('the wire switch does not answer (stats)')
    expect(readdirSync(dir)).not.toContain('wire.sock')
  })

  it('completes capture files when it is ended', async () => {
    const [a, b] = [await addMachine(1), await addMachine(2)]
    await wire.capture(join(dir, 'open.pcap'))
    a.send(BROADCAST, 'x')
    await b.got('x')
    await wire.stop()
    expect(await readCapture(join(dir, 'open.pcap'))).toHaveLength(1)
  })
})

describe('requests it refuses', () => {
  it.each([
    ['no JSON', 'nonsense', 'not JSON: nonsense'],
    ['an unknown request', '{"op":"reboot"}', 'op'],
    ['an unknown field', '{"op":"ping","x":1}', 'Unrecognized key: "x"'],
    ['a loss above 1', '{"op":"impair","loss":2}', 'loss'],
    ['an unknown port', '{"op":"cut","a":"node9"}', 'no port node9; there are: none'],
    ['an unknown capture', '{"op":"flush","capture":7}', 'no capture 7'],
    ['a folder that is not there', '{"op":"capture","file":"/nowhere/x.pcap"}', 'ENOENT'],
    ['a machine that is not there', '{"op":"attach","port":"n","socket":"/nowhere/x.sock","timeoutMs":100}', 'nothing accepted a connection at /nowhere/x.sock within 0.1 s'],
  ])('answers %s with what is wrong', async (_, line, message) => {
    const answer = await new Promise<string>((resolve, reject) => {
      let text = ''
      createConnection(wire.handle.control, function (this: Socket) { this.end(`${line}\n`) }).on('data', (chunk) => (text += String(chunk))).on('close', () => resolve(text)).on('error', reject)
    })
    const { ok, error } = JSON.parse(answer) as { ok: boolean; error: string }
    expect(ok).toBe(false)
    expect(error).toContain(message)
    expect(await wire.stats()).toBeDefined()
  })

  it('rejects with the switch\'s own words', async () => {
    await expect(wire.cut('node1')).rejects.toThrow('wire: cut failed: no port node1; there are: none')
  })
})
