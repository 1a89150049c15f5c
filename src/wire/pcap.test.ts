import { describe, expect, it } from 'vitest'
import { PcapReader, pcapHeader, writeRecordHeader } from './pcap.ts'

function record(frame: Buffer): Buffer {
  const header = Buffer.alloc(16)
  writeRecordHeader(header, 0, 1_700_000_000, 123_456_789, frame.length)
  return Buffer.concat([header, frame])
}

describe('PcapReader', () => {
  it('gives each record once it is complete, however the file is cut up', () => {
    const file = Buffer.concat([pcapHeader(), record(Buffer.from('first')), record(Buffer.from('second'))])
    const reader = new PcapReader()
    const seen = [...file].flatMap((byte) => reader.push(Buffer.from([byte])))
    expect(seen.map((r) => [r.data.toString(), r.timeNs])).toEqual([['first', 1_700_000_000_123_456_789n], ['second', 1_700_000_000_123_456_789n]])
  })

  it('reads microseconds and the other byte order', () => {
    const header = Buffer.alloc(24)
    header.writeUInt32BE(0xa1b2c3d4, 0)
    header.writeUInt32BE(1, 20)
    const line = Buffer.alloc(17)
    line.writeUInt32BE(10, 0)
    line.writeUInt32BE(5, 4)
    line.writeUInt32BE(1, 8)
    line.writeUInt32BE(60, 12)
    expect(new PcapReader().push(Buffer.concat([header, line]))).toMatchObject([{ timeNs: 10_000_005_000n, length: 60 }])
  })

  it('says so when the file is none, or holds no Ethernet frames', () => {
    expect(() => new PcapReader().push(Buffer.alloc(24, 'x'))).toThrow('not a pcap file')
    const header = pcapHeader()
    header.writeUInt32LE(101, 20)
    expect(() => new PcapReader().push(header)).toThrow('link type 101')
  })
})
