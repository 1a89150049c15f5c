import { PassThrough } from 'node:stream'
import { expect, it } from 'vitest'
import { MonitorPrinter, monitorOptions, passes } from '../cli/monitor.ts'
import { openFakeDatapath } from '../testing/fake-datapath.ts'
import type { DatapathConfig } from '../datapath/types.ts'
import { FrameDecoder, encodeFrame, type Frame } from './frames.ts'
import { MonitorHub } from './hub.ts'

const datapath = () => openFakeDatapath({ monitorPages: 64 } as DatapathConfig)

async function drain(stream: PassThrough): Promise<Frame[]> {
  const decoder = new FrameDecoder()
  const frames: Frame[] = []
  for (let idle = 0; idle < 3;) {
    const chunk = stream.read() as Buffer | null
    if (chunk === null) { idle++; await new Promise((resolve) => setTimeout(resolve, 5)) } else { idle = 0; frames.push(...decoder.push(chunk)) }
  }
  return frames
}

it('gives every client all events in order, after the ring\'s size and the names of interfaces', async () => {
  const fake = datapath()
  const hub = new MonitorHub(fake)
  const [one, two] = [new PassThrough(), new PassThrough()]
  hub.attach(one)
  hub.attach(two)
  fake.emit({ cpu: 1, data: Buffer.from('abc') })
  hub.agentEvent('Policy updated', { revision: 2 })
  fake.emit({ cpu: 0, lost: 3 })
  for (const stream of [one, two]) {
    expect((await drain(stream)).filter(({ kind }) => kind !== 'interfaces')).toEqual([
      { kind: 'hello', cpus: 2, pages: 64, pageSize: 4096 }, { kind: 'sample', cpu: 1, data: Buffer.from('abc') }, { kind: 'agent', subtype: 'Policy updated', message: { revision: 2 } }, { kind: 'lost', cpu: 0, lost: 3 },
    ])
  }
  expect(hub.lost).toBe(3)
})

it('counts what a client that does not read has lost, and tells it where it was', async () => {
  const fake = datapath()
  const hub = new MonitorHub(fake)
  const slow = new PassThrough({ writableHighWaterMark: 1024, readableHighWaterMark: 1024 })
  hub.attach(slow)
  const total = 3000
  for (let i = 0; i < total; i++) {
    fake.emit({ cpu: i % 2, data: Buffer.alloc(4096) })
    if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  const frames = await drain(slow)
  fake.emit({ cpu: 0, data: Buffer.from('end') })
  frames.push(...await drain(slow))
  const samples = frames.filter(({ kind }) => kind === 'sample').length - 1
  const lost = frames.flatMap((frame) => (frame.kind === 'lost' ? [frame.lost] : [])).reduce((a, b) => a + b, 0)
  expect(samples).toBeGreaterThan(900)
  expect(samples).toBeLessThan(total)
  expect(samples + lost).toBe(total)
  expect(frames.at(-1)).toMatchObject({ kind: 'sample', data: Buffer.from('end') })
})

it('puts frames together from any pieces', () => {
  const bytes = Buffer.concat([encodeFrame({ kind: 'sample', cpu: 3, data: Buffer.from('hello') }), encodeFrame({ kind: 'lost', cpu: 1, lost: 9 })])
  const decoder = new FrameDecoder()
  expect([...bytes].flatMap((byte) => decoder.push(Buffer.from([byte])))).toEqual([{ kind: 'sample', cpu: 3, data: Buffer.from('hello') }, { kind: 'lost', cpu: 1, lost: 9 }])
})

const options = (flags: Record<string, string[]>) => monitorOptions({ values: new Map(Object.entries(flags)), args: [] })

it('filters as Cilium does', () => {
  const drop = { type: 'drop', cpu: 0, source: 7, hash: 0, reason: 133, bytes: 0, srcIdentity: 0, dstIdentity: 0, dstId: 9, ifindex: 0, packet: Buffer.alloc(0) } as const
  const shown = (flags: Record<string, string[]>) => passes(drop, options(flags))
  expect([shown({}), shown({ type: ['drop'] }), shown({ type: ['trace', 'debug'] })]).toEqual([true, true, false])
  expect([shown({ from: ['7'] }), shown({ from: ['9'] }), shown({ to: ['9'] }), shown({ 'related-to': ['9'] }), shown({ 'related-to': ['7'] }), shown({ 'related-to': ['8'] })]).toEqual([true, false, true, true, true, false])
  expect(passes({ type: 'agent', subtype: 'x', message: {} }, options({ 'related-to': ['7'] }))).toBe(false)
  expect(() => options({ type: ['drops'] })).toThrow('did you mean "drop"?')
})

it('names interfaces as told, and prints the header once', () => {
  const printer = new MonitorPrinter(options({}))
  const hello: Frame = { kind: 'hello', cpus: 2, pages: 64, pageSize: 4096 }
  expect(printer.lines(hello)).toEqual(['Listening for events on 2 CPUs with 64x4096 of shared memory', 'Press Ctrl-C to quit'])
  expect(printer.lines(hello)).toEqual([])
  const delivery = Buffer.concat([Buffer.from([3, 4, 7, 0, 0, 0, 0, 0, 14, 0, 0, 0, 14, 0, 0, 0, 19, 0, 0, 0, 0, 0, 0, 0]), Buffer.alloc(14)])
  printer.lines({ kind: 'interfaces', names: { 19: 'lxc1234' } })
  expect(printer.lines({ kind: 'sample', cpu: 0, data: delivery })).toEqual(['-> lxc1234: 00:00:00:00:00:00 -> 00:00:00:00:00:00 LLC'])
})
