/** What the agent's proxy needs of the kernel: sockets that Node has no options for, and the map that says whom a connection is for. */
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import { addressBytes, isIPv6 } from './address.ts'
import { hostPort } from '../text/hostport.ts'
import type { BpfMap } from './bpf.ts'
import { systemError } from './errors.ts'
import { conntrackKeyOf, conntrackKeyOf6, decodeProxyFlow, decodeProxyFlow6, encodeProxyKey } from './layouts.ts'
import { bind, connect, errno, listen, setsockopt, socket } from './system.ts'
import type { ProxyOrigin, Socket } from './types.ts'

const AF_INET = 2, AF_INET6 = 10, SOCK_STREAM = 1, SOCK_NONBLOCK = 0o4000, SOCK_CLOEXEC = 0o2000000
const SOL_SOCKET = 1, SO_REUSEADDR = 2, SO_BINDTODEVICE = 25, SO_MARK = 36
const IPPROTO_TCP = 6, TCP_SYNCNT = 7, IPPROTO_IPV6 = 41, IPV6_V6ONLY = 26
/** PROXY_MARK in agent/bpf/lib/proxy.h. */
const MARK = { ingress: 0x0a00, egress: 0x0b00 } as const
/** SYNs that are sent again: three take 15 s. */
const SYN_RETRIES = 3

const int = (value: number): Buffer => { const bytes = Buffer.alloc(4); bytes.writeUInt32LE(value); return bytes }

/** sockaddr_in, sockaddr_in6. */
function address({ ip, port }: Socket): Buffer {
  const six = isIPv6(ip)
  const bytes = Buffer.alloc(six ? 28 : 16)
  bytes.writeUInt16LE(six ? AF_INET6 : AF_INET, 0)
  bytes.writeUInt16BE(port, 2)
  addressBytes(ip).copy(bytes, six ? 8 : 4)
  return bytes
}

/** A TCP socket; closed again when `use` fails. */
function withSocket(what: string, six: boolean, use: (fd: number, must: (result: number, ...fine: number[]) => void) => void): number {
  const fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
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

/** A descriptor that listens at a port of every address (`six`: of both families), for what comes in by one device only (undefined: any); so are the connections that it accepts. */
export function listenOn(device: string | undefined, port: number, six = false): number {
  return withSocket(`listening at port ${port}${device === undefined ? '' : ` of ${device}`}`, six, (fd, must) => {
    const any = address({ ip: six ? '::' : '0.0.0.0', port })
    must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, int(1), 4))
    if (six) must(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, int(0), 4))
    if (device !== undefined) must(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, Buffer.from(`${device}\0`), device.length + 1))
    must(bind(fd, any, any.length))
    must(listen(fd, 512))
  })
}

/** Tells in whose name a connection is: `identity` (24 bits) around the magic number, bits 12 to 15 zero, which are kubelet's and kube-proxy's. */
export const proxyMark = (identity: number, direction: 'ingress' | 'egress'): number => (((identity & 0xffff) << 16) | MARK[direction] | (identity >>> 16)) >>> 0

/** Connects with a mark that tells the programs in whose name. Node sees the socket before it is connected: what is written waits, and a refusal is an error of it. */
export function connectMarked(server: Socket, identity: number, direction: 'ingress' | 'egress'): net.Socket {
  const to = address(server)
  const fd = withSocket(`connecting to ${hostPort(server.ip, server.port)}`, isIPv6(server.ip), (fd, must) => {
    must(setsockopt(fd, SOL_SOCKET, SO_MARK, int(proxyMark(identity, direction)), 4))
    must(setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, int(SYN_RETRIES), 4))
    must(connect(fd, to, to.length), os.constants.errno.EINPROGRESS)
  })
  return new net.Socket({ fd, readable: true, writable: true })
}

interface Redirected { /** cilium_proxy4, cilium_proxy6. */ map: BpfMap; conntrack: BpfMap }

/** Whom redirected connections are for. */
export class ProxyMap {
  private readonly four: Redirected
  private readonly six: Redirected

  constructor(four: Redirected, six: Redirected) {
    this.four = four
    this.six = six
  }

  origin(client: Socket, proxy: Socket): ProxyOrigin | undefined {
    const six = isIPv6(client.ip)
    const value = (six ? this.six : this.four).map.lookup(encodeProxyKey(client, proxy))
    if (value === undefined) return undefined
    return six ? decodeProxyFlow6(value) : { ...decodeProxyFlow(value), client: client.ip }
  }

  /** Forgets connections that conntrack has forgotten. */
  collect(): void {
    for (const [{ map, conntrack }, keyOf] of [[this.four, conntrackKeyOf], [this.six, conntrackKeyOf6]] as const)
      for (const [key, value] of map.entries()) if (conntrack.lookup(keyOf(key, value)) === undefined) map.delete(key)
  }
}
