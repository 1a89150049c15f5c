import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { PAGE_SIZE, PerfRing } from './perf.ts'
import type { RawEvent } from './types.ts'

test('a ring is read across its end, and lost events are counted', () => {
  const memory = Buffer.alloc(2 * PAGE_SIZE)
  const ring = new PerfRing(3, memory)
  const sample = Buffer.alloc(24)
  sample.writeUInt32LE(9, 0)
  sample.writeUInt16LE(24, 6)
  sample.writeUInt32LE(12, 8)
  sample.write('twelve bytes', 12)
  const lost = Buffer.alloc(24)
  lost.writeUInt32LE(2, 0)
  lost.writeUInt16LE(24, 6)
  lost.writeBigUInt64LE(7n, 16)
  const start = PAGE_SIZE - 16 // the sample's second half is at the beginning
  Buffer.concat([sample, lost]).forEach((byte, i) => memory.writeUInt8(byte, PAGE_SIZE + (start + i) % PAGE_SIZE))
  memory.writeBigUInt64LE(BigInt(start + 48), 1024)
  memory.writeBigUInt64LE(BigInt(start), 1032)

  const events: RawEvent[] = []
  ring.drain((event) => events.push(event))
  expect(events).toEqual([{ cpu: 3, data: Buffer.from('twelve bytes') }, { cpu: 3, lost: 7 }])
  expect(memory.readBigUInt64LE(1032)).toBe(BigInt(start + 48))
})

test('what is not written yet is never read, while the writer goes on', async () => {
  const shared = new SharedArrayBuffer(2 * PAGE_SIZE)
  const memory = Buffer.from(shared)
  const ring = new PerfRing(0, memory)
  // Records of 16 bytes and of no type that counts, all over: a position read wrongly is seen by the tail alone.
  for (let at = PAGE_SIZE; at < 2 * PAGE_SIZE; at += 16) memory.writeUInt16LE(16, at + 6)
  const ends = new BigUint64Array(shared, 1024, 2)
  // The writer goes on when the reader has caught up, so that each of its steps may fall into the middle of a look at where it is.
  const steps = `const { ends } = require('node:worker_threads').workerData
    for (let head = 16n, tail = 0n; head < 3_200_000n && tail < head; head += 16n) {
      Atomics.store(ends, 0, head)
      while ((tail = Atomics.load(ends, 1)) < head) {}
      if (tail > head) process.exit(1)
    }`
  const writer = new Worker(steps, { eval: true, workerData: { ends } })
  let exit: number | undefined
  writer.once('exit', (code) => { exit = code })
  while (exit === undefined) {
    for (let i = 0; i < 1000; i++) ring.drain(() => undefined)
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(exit).toBe(0)
  expect(Atomics.load(ends, 0)).toBe(3_199_984n)
})
