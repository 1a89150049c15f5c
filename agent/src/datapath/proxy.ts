/** What the agent's proxy needs of the kernel: sockets that Node has no options for, and the map that says whom a connection is for. */
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import { ipv4Bytes } from './address.ts'
import type { BpfMap } from './bpf.ts'
import { systemError } from './errors.ts'
import { conntrackKeyOf, decodeProxyFlow, encodeProxyKey } from './layouts.ts'
import { bind, connect, errno, listen, setsockopt, socket } from './system.ts'
import type { ProxyOrigin, Socket } from './types.ts'

const AF_INET = 2, SOCK_STREAM = 1, SOCK_NONBLOCK = 0o4000, SOCK_CLOEXEC = 0o2000000
const SOL_SOCKET = 1, SO_REUSEADDR = 2, SO_BINDTODEVICE = 25, SO_MARK = 36
const IPPROTO_TCP = 6, TCP_SYNCNT = 7
/** PROXY_MARK in agent/bpf/lib/proxy.h. */
const MARK = { ingress: 0x0a00, egress: 0x0b00 } as const
/** SYNs that are sent again: three take 15 s. */
const SYN_RETRIES = 3

const int = (value: number): Buffer => { const bytes = Buffer.alloc(4); bytes.writeUInt32LE(value); return bytes }

function address({ ip, port }: Socket): Buffer {
  const bytes = Buffer.alloc(16)
  bytes.writeUInt16LE(AF_INET, 0)
  bytes.writeUInt16BE(port, 2)
  ipv4Bytes(ip).copy(bytes, 4)
  return bytes
}

/** A TCP socket; closed again when `use` fails. */
function withSocket(what: string, use: (fd: number, must: (result: number, ...fine: number[]) => void) => void): number {
  const fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
  const must = (result: number, ...fine: number[]): void => {
    const code = result < 0 ? errno() : 0
    if (code !== 0 && !fine.includes(code)) throw systemError(what, code)
  }
  must(fd)
  try {
    use(fd, must)
    return fd
  } catch (error) {
    fs.closeSync(fd)
    throw error
  }
}

/** A descriptor that listens at a port of every address, for what comes in by one device only (undefined: any); so are the connections that it accepts. */
export function listenOn(device: string | undefined, port: number): number {
  return withSocket(`listening at port ${port}${device === undefined ? '' : ` of ${device}`}`, (fd, must) => {
    must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, int(1), 4))
    if (device !== undefined) must(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, Buffer.from(`${device}\0`), device.length + 1))
    must(bind(fd, address({ ip: '0.0.0.0', port }), 16))
    must(listen(fd, 512))
  })
}

/** Tells in whose name a connection is: `identity` (24 bits) around the magic number, bits 12 to 15 zero, which are kubelet's and kube-proxy's. */
export const proxyMark = (identity: number, direction: 'ingress' | 'egress'): number => (((identity & 0xffff) << 16) | MARK[direction] | (identity >>> 16)) >>> 0

/** Connects with a mark that tells the programs in whose name. Node sees the socket before it is connected: what is written waits, and a refusal is an error of it. */
export function connectMarked(server: Socket, identity: number, direction: 'ingress' | 'egress'): net.Socket {
  const fd = withSocket(`connecting to ${server.ip}:${server.port}`, (fd, must) => {
    must(setsockopt(fd, SOL_SOCKET, SO_MARK, int(proxyMark(identity, direction)), 4))
    must(setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, int(SYN_RETRIES), 4))
    must(connect(fd, address(server), 16), os.constants.errno.EINPROGRESS)
  })
  return new net.Socket({ fd, readable: true, writable: true })
}

/** cilium_proxy4. */
export class ProxyMap {
  private readonly map: BpfMap
  private readonly conntrack: BpfMap

  constructor(map: BpfMap, conntrack: BpfMap) {
    this.map = map
    this.conntrack = conntrack
  }

  origin(client: Socket, proxy: Socket): ProxyOrigin | undefined {
    const value = this.map.lookup(encodeProxyKey(client, proxy))
    return value === undefined ? undefined : { ...decodeProxyFlow(value), client: client.ip }
  }

  /** Forgets connections that conntrack has forgotten. */
  collect(): void {
    for (const [key, value] of this.map.entries()) if (this.conntrack.lookup(conntrackKeyOf(key, value)) === undefined) this.map.delete(key)
  }
}
