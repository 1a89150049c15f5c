/** rtnetlink messages: encoding, decoding, and one socket that speaks them. */
import fs from 'node:fs'
import { systemError } from './errors.ts'
import { errno, recv, send, setsockopt, socket } from './system.ts'

export const NLM_F = { request: 1, ack: 4, replace: 0x100, excl: 0x200, create: 0x400, dump: 0x300 } as const
const NLMSG = { error: 2, done: 3 } as const
const HEADER = 16

const align = (length: number): number => (length + 3) & ~3

/** One attribute; nested ones are a list. */
export type Attribute = [type: number, value: Buffer | Attribute[]]

export const u8 = (value: number): Buffer => Buffer.from([value])
export const u32 = (value: number): Buffer => { const b = Buffer.alloc(4); b.writeUInt32LE(value >>> 0); return b }
export const text = (value: string): Buffer => Buffer.from(`${value}\0`)

export function encodeAttributes(attributes: Attribute[]): Buffer {
  return Buffer.concat(attributes.map(([type, value]) => {
    const payload = Buffer.isBuffer(value) ? value : encodeAttributes(value)
    const out = Buffer.alloc(align(4 + payload.length))
    out.writeUInt16LE(4 + payload.length, 0)
    out.writeUInt16LE(type, 2)
    payload.copy(out, 4)
    return out
  }))
}

/** Attributes by type; flags in the type's upper bits (nested, byte order) are dropped. */
export function decodeAttributes(data: Buffer): Map<number, Buffer> {
  const attributes = new Map<number, Buffer>()
  for (let offset = 0; offset + 4 <= data.length;) {
    const length = data.readUInt16LE(offset)
    if (length < 4 || offset + length > data.length) break
    attributes.set(data.readUInt16LE(offset + 2) & 0x3fff, data.subarray(offset + 4, offset + length))
    offset += align(length)
  }
  return attributes
}

export function encodeMessage(type: number, flags: number, sequence: number, body: Buffer): Buffer {
  const header = Buffer.alloc(HEADER)
  header.writeUInt32LE(HEADER + body.length, 0)
  header.writeUInt16LE(type, 4)
  header.writeUInt16LE(flags, 6)
  header.writeUInt32LE(sequence, 8)
  return Buffer.concat([header, body])
}

export interface Reply { type: number; body: Buffer }

/** The messages of one datagram. */
export function decodeMessages(datagram: Buffer): (Reply & { sequence: number })[] {
  const messages: (Reply & { sequence: number })[] = []
  for (let offset = 0; offset + HEADER <= datagram.length;) {
    const length = datagram.readUInt32LE(offset)
    if (length < HEADER || offset + length > datagram.length) break
    messages.push({ type: datagram.readUInt16LE(offset + 4), sequence: datagram.readUInt32LE(offset + 8), body: datagram.subarray(offset + HEADER, offset + length) })
    offset += align(length)
  }
  return messages
}

/** A negative acknowledgement, as a value: callers decide which errno is no error. */
export interface Refusal { errno: number }

/** A socket in the network namespace that was current when it was opened. */
export class Netlink {
  private readonly fd: number
  private sequence = 0
  private readonly buffer = Buffer.alloc(1 << 17)

  constructor() {
    const AF_NETLINK = 16, SOCK_RAW_CLOEXEC = 3 | 0o2000000, NETLINK_ROUTE = 0, SOL_SOCKET = 1, SO_RCVTIMEO = 20
    this.fd = socket(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_ROUTE)
    if (this.fd < 0) throw systemError('opening a netlink socket', errno())
    const timeout = Buffer.alloc(16)
    timeout.writeBigInt64LE(5n, 0) // the kernel answers at once; this is against waiting forever for a lost answer
    setsockopt(this.fd, SOL_SOCKET, SO_RCVTIMEO, timeout, 16)
  }

  /** Asks for all objects of a kind. */
  dump(type: number, header: Buffer): Reply[] {
    const replies = this.exchange(type, NLM_F.dump, header, [])
    if (!Array.isArray(replies)) throw systemError(`listing by netlink (request ${type})`, replies.errno)
    return replies
  }

  /** Sends a request and gathers what comes back, or the kernel's refusal. */
  request(type: number, flags: number, header: Buffer, attributes: Attribute[] = []): Reply[] | Refusal {
    return this.exchange(type, flags | NLM_F.ack, header, attributes)
  }

  private exchange(type: number, flags: number, header: Buffer, attributes: Attribute[]): Reply[] | Refusal {
    const sequence = ++this.sequence
    const message = encodeMessage(type, flags | NLM_F.request, sequence, Buffer.concat([header, encodeAttributes(attributes)]))
    if (send(this.fd, message, message.length, 0) < 0) throw systemError('sending to netlink', errno())
    const replies: Reply[] = []
    for (;;) {
      const size = recv(this.fd, this.buffer, this.buffer.length, 0)
      if (size < 0) throw systemError('waiting for netlink', errno())
      for (const reply of decodeMessages(Buffer.from(this.buffer.subarray(0, size)))) {
        if (reply.sequence !== sequence) continue
        if (reply.type === NLMSG.done) return replies
        if (reply.type !== NLMSG.error) { replies.push(reply); continue }
        const code = -reply.body.readInt32LE(0)
        return code === 0 ? replies : { errno: code }
      }
    }
  }

  close(): void {
    fs.closeSync(this.fd)
  }
}
