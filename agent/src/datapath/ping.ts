/** One ICMP echo, over a raw socket. */
import { randomInt } from 'node:crypto'
import fs from 'node:fs'
import { ipv4Bytes } from './address.ts'
import { systemError } from './errors.ts'
import { allocate, connect, errno, munmap, poll, recv, send, socket } from './system.ts'

const AF_INET = 2, SOCK_RAW = 3, NONBLOCK_CLOEXEC = 0o2004000, ICMP = 1
const ECHO = 8, ECHO_REPLY = 0
const POLLIN = 1

/** Round trip in milliseconds. Rejects when there is no answer in time, or the kernel knows no way there. */
export async function ping(ip: string, timeoutMs: number): Promise<number> {
  const fd = socket(AF_INET, SOCK_RAW | NONBLOCK_CLOEXEC, ICMP)
  if (fd < 0) throw systemError('opening a raw socket', errno())
  const pollfd = allocate(8)
  try {
    // Connected: answers of others don't come in here.
    const address = Buffer.concat([Buffer.from([AF_INET, 0, 0, 0]), ipv4Bytes(ip), Buffer.alloc(8)])
    const request = echo(randomInt(0x1_0000), randomInt(0x1_0000))
    if (connect(fd, address, address.length) < 0 || send(fd, request, request.length, 0) < 0) throw systemError(`ping ${ip}`, errno(), 'is there a route to it?')
    const start = performance.now()
    for (;;) {
      const left = start + timeoutMs - performance.now()
      if (left <= 0) throw new Error(`no answer in ${timeoutMs / 1000} s`)
      pollfd.bytes.writeInt32LE(fd, 0)
      pollfd.bytes.writeUInt32LE(POLLIN, 4)
      await poll(pollfd, 1, Math.ceil(left))
      const answer = Buffer.alloc(1500)
      const length = recv(fd, answer, answer.length, 0)
      if (length > 0 && answers(answer.subarray(0, length), request)) return performance.now() - start
    }
  } finally {
    munmap(pollfd.pointer, 8)
    fs.closeSync(fd)
  }
}

function echo(id: number, sequence: number): Buffer {
  const packet = Buffer.alloc(64)
  packet.writeUInt8(ECHO, 0)
  packet.writeUInt16BE(id, 4)
  packet.writeUInt16BE(sequence, 6)
  packet.writeUInt16BE(checksum(packet), 2)
  return packet
}

function checksum(packet: Buffer): number {
  let sum = 0
  for (let i = 0; i < packet.length; i += 2) sum += packet.readUInt16BE(i)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

/** Raw sockets give the IP header too, and of the own address the request. */
function answers(datagram: Buffer, request: Buffer): boolean {
  const packet = datagram.subarray((datagram.readUInt8(0) & 0xf) * 4)
  return packet.length >= 8 && packet.readUInt8(0) === ECHO_REPLY && packet.subarray(4, 8).equals(request.subarray(4, 8))
}
