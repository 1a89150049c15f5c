import { describe, expect, test } from 'vitest'
import { decodeEvent } from './events.ts'

/** A record: common header, words, then the packet and the ring's padding. */
function record(type: number, subtype: number, source: number, words: number[], packet = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt8(type, 0)
  header.writeUInt8(subtype, 1)
  header.writeUInt16LE(source, 2)
  header.writeUInt32LE(0xaf043862, 4)
  const body = Buffer.alloc(words.length * 4)
  words.forEach((word, i) => body.writeUInt32LE(word >>> 0, i * 4))
  return Buffer.concat([header, body, packet, Buffer.from('padding')])
}

describe('decodeEvent', () => {
  const packet = Buffer.from('0102030405', 'hex')

  test('a drop has the reason, both identities, and as much packet as the header says', () => {
    expect(decodeEvent(1, record(1, 133, 11, [98, 5, 1010, 1011, 11, 0], packet))).toEqual({
      type: 'drop', cpu: 1, source: 11, hash: 0xaf043862, reason: 133, bytes: 98, srcIdentity: 1010, dstIdentity: 1011, dstId: 11, ifindex: 0, packet,
    })
  })

  test('a trace has its destination and state in one word', () => {
    expect(decodeEvent(0, record(4, 0, 11, [98, 5, 1010, 1011, 65000 | (2 << 16), 7], packet))).toEqual({
      type: 'trace', cpu: 0, source: 11, hash: 0xaf043862, point: 0, state: 2, bytes: 98, srcIdentity: 1010, dstIdentity: 1011, dstId: 65000, ifindex: 7, packet,
    })
  })

  test('a debug message has three arguments and no packet', () => {
    expect(decodeEvent(0, record(2, 44, 11, [1, 2, 0xffffffff]))).toEqual({
      type: 'debug', cpu: 0, source: 11, hash: 0xaf043862, subtype: 44, arg1: 1, arg2: 2, arg3: 0xffffffff,
    })
  })

  test('a capture has two arguments after the lengths', () => {
    expect(decodeEvent(0, record(3, 4, 11, [42, 5, 19, 0], packet))).toMatchObject({ type: 'capture', subtype: 4, bytes: 42, arg1: 19, arg2: 0, packet })
  })

  test('an unknown type blames a mismatch of versions', () => {
    expect(() => decodeEvent(0, record(129, 0, 0, []))).toThrow('perf record of unknown type 129 (15 bytes): agent and BPF object are of different versions')
  })
})
