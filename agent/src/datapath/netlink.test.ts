import { describe, expect, test } from 'vitest'
import { decodeAttributes, decodeMessages, encodeAttributes, encodeMessage, text, u32 } from './netlink.ts'

describe('netlink', () => {
  test('attributes are padded to four bytes, their length is not', () => {
    expect(encodeAttributes([[3, text('eth0')], [4, u32(1400)]]).toString('hex')).toBe('09000300657468300000000008000400' + '78050000')
  })

  test('nested attributes come out as they went in', () => {
    const outer = decodeAttributes(encodeAttributes([[18, [[1, text('veth')], [2, [[15, u32(8472)]]]]]]))
    const inner = decodeAttributes(outer.get(18)!)
    expect(inner.get(1)?.toString()).toBe('veth\0')
    expect(decodeAttributes(inner.get(2)!).get(15)?.readUInt32LE(0)).toBe(8472)
  })

  test('an attribute that claims more than there is ends the list', () => {
    expect(decodeAttributes(Buffer.from('ffff0100', 'hex')).size).toBe(0)
  })

  test('a datagram may hold several messages', () => {
    const datagram = Buffer.concat([encodeMessage(16, 2, 7, Buffer.from('abcd')), encodeMessage(3, 2, 7, Buffer.alloc(4))])
    expect(decodeMessages(datagram).map(({ type, sequence, body }) => [type, sequence, body.length])).toEqual([[16, 7, 4], [3, 7, 4]])
  })
})
