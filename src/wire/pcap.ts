/** pcap savefiles (draft-ietf-opsawg-pcap): 24-byte file header, then records of a 16-byte header and the frame. */
import { KernelbedError } from '../core/errors.ts'

const MAGIC_NS = 0xa1b23c4d
const MAGIC_US = 0xa1b2c3d4
const LINKTYPE_ETHERNET = 1
/** QEMU's NET_BUFSIZE: no frame is longer. */
export const MAX_FRAME = 4096 + 65536
export const FILE_HEADER = 24
export const RECORD_HEADER = 16

/** Header of a little-endian, nanosecond, Ethernet file. */
export function pcapHeader(): Buffer {
  const header = Buffer.alloc(FILE_HEADER)
  header.writeUInt32LE(MAGIC_NS, 0)
  header.writeUInt16LE(2, 4)
  header.writeUInt16LE(4, 6)
  header.writeUInt32LE(MAX_FRAME, 16)
  header.writeUInt32LE(LINKTYPE_ETHERNET, 20)
  return header
}

/** Writes a record header at `offset`; `seconds` and `nanos` since the epoch. */
export function writeRecordHeader(into: Buffer, offset: number, seconds: number, nanos: number, length: number): void {
  into.writeUInt32LE(seconds, offset)
  into.writeUInt32LE(nanos, offset + 4)
  into.writeUInt32LE(length, offset + 8)
  into.writeUInt32LE(length, offset + 12)
}

export interface PcapRecord { readonly timeNs: bigint; readonly length: number; readonly data: Buffer }

/** Reads a file as it grows: give it what is new, it gives the records that are complete. Both byte orders, micro- and nanoseconds. */
export class PcapReader {
  #rest: Buffer = Buffer.alloc(0)
  #format: { readonly little: boolean; readonly unitNs: bigint } | undefined

  /** Throws KernelbedError when the bytes are not a pcap file of Ethernet frames. */
  push(chunk: Buffer): PcapRecord[] {
    let data = this.#rest.length ? Buffer.concat([this.#rest, chunk]) : chunk
    if (!this.#format && data.length >= FILE_HEADER) {
      this.#format = formatOf(data)
      data = data.subarray(FILE_HEADER)
    }
    const records: PcapRecord[] = []
    for (let next = this.#record(data); next; next = this.#record(data)) {
      records.push(next)
      data = data.subarray(RECORD_HEADER + next.data.length)
    }
    this.#rest = data
    return records
  }

  #record(data: Buffer): PcapRecord | undefined {
    if (!this.#format || data.length < RECORD_HEADER) return undefined
    const { little, unitNs } = this.#format
    const word = (at: number): number => (little ? data.readUInt32LE(at) : data.readUInt32BE(at))
    const end = RECORD_HEADER + word(8)
    if (data.length < end) return undefined
    return { timeNs: BigInt(word(0)) * 1_000_000_000n + BigInt(word(4)) * unitNs, length: word(12), data: data.subarray(RECORD_HEADER, end) }
  }
}

function formatOf(header: Buffer): { little: boolean; unitNs: bigint } {
  for (const little of [true, false]) {
    const magic = little ? header.readUInt32LE(0) : header.readUInt32BE(0)
    if (magic !== MAGIC_NS && magic !== MAGIC_US) continue
    const link = (little ? header.readUInt32LE(20) : header.readUInt32BE(20)) & 0xffff
    if (link !== LINKTYPE_ETHERNET) throw new KernelbedError(`the capture has link type ${link}, not Ethernet (${LINKTYPE_ETHERNET})`, { blame: 'host' })
    return { little, unitNs: magic === MAGIC_NS ? 1n : 1000n }
  }
  throw new KernelbedError('not a pcap file', { blame: 'host', details: `it begins with ${header.subarray(0, 4).toString('hex')}` })
}
