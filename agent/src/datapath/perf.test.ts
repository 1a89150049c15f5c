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
