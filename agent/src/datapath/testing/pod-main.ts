/**
 * What a pod does in tests: `pod-main.ts serve NAME PORT…` answers TCP and UDP with its name and the client's address;
 * `tcp|udp HOST PORT [SOURCE_PORT [SOURCE_ADDRESS]]`, `ping HOST`, `big HOST PORT`, `bigudp HOST PORT` print one JSON line: `{reply, from}` or `{error}`.
 * `web NAME PORT…` serves HTTP: its answers tell its name, the request and the client's address. `http HOST PORT METHOD PATH [SOURCE_PORT]` prints `{reply: 'STATUS BODY'}`,
 * `visit HOST PORT METHOD PATH` one connection's answers, a line each, to a request every 100 ms. `sniff INTERFACE` prints frames in hex, a line each.
 */
import dgram from 'node:dgram'
import fs from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import os from 'node:os'
import koffi from 'koffi'
import { ipv6Bytes } from '../address.ts'
import { recv, send, setsockopt, socket } from '../system.ts'

/** What a server says the length of, once it has all of it. */
const BIG = `count${'x'.repeat(60_000)}`
const TIMEOUT_MS = Number(process.env['LAB_TIMEOUT_MS'] ?? 1500)
const libc = koffi.load('libc.so.6')
const call = libc.func('connect', 'int', ['int', 'void *', 'unsigned int']) as (fd: number, address: Buffer, size: number) => number
const bind = libc.func('bind', 'int', ['int', 'void *', 'unsigned int']) as (fd: number, address: Buffer, size: number) => number
function finish(result: unknown): never {
  fs.writeSync(1, `${JSON.stringify(result)}\n`)
  process.exit(0)
}

function serve(name: string, ports: number[]): void {
  for (const port of ports) {
    for (const host of ['0.0.0.0', '::']) {
      net.createServer((client) => {
        client.on('error', () => client.destroy())
        let counted: number | undefined
        client.on('data', (data) => {
          if (counted === undefined && data.toString().startsWith('count')) counted = 0
          if (counted === undefined) client.write(`${name} ${client.remoteAddress}`)
          else if ((counted += data.length) === BIG.length) client.write(String(counted))
        })
      }).listen({ port, host, ipv6Only: true })
    }
    for (const type of ['udp4', 'udp6'] as const) {
      const udp = dgram.createSocket(type === 'udp6' ? { type, ipv6Only: true } : { type })
      udp.on('message', (_, client) => udp.send(`${name} ${client.address}`, client.port, client.address))
      udp.bind(port)
    }
  }
  fs.writeSync(1, 'serving\n')
}

function web(name: string, ports: number[]): void {
  const server = (request: http.IncomingMessage, response: http.ServerResponse): void => {
    let size = 0
    request.on('data', (data: Buffer) => { size += data.length })
    request.on('end', () => response.end(`${name} ${request.method} ${request.url} ${request.headers.host} ${size} from ${request.socket.remoteAddress}`))
  }
  for (const port of ports) for (const host of ['0.0.0.0', '::']) http.createServer(server).listen({ port, host, ipv6Only: true })
  fs.writeSync(1, 'serving\n')
}

function ask(host: string, port: number, method: string, path: string, more: { localPort?: number; agent?: http.Agent }, done: (answer: string) => void): void {
  const request = http.request({ host, port, method, path, ...more }, (response) => {
    let body = ''
    response.on('data', (data: Buffer) => { body += data.toString() })
    response.on('end', () => done(`${response.statusCode} ${body.trimEnd()}`))
  })
  request.on('error', (error) => finish({ error: error.message }))
  request.end(method === 'POST' ? 'x'.repeat(100_000) : '')
}

function visit(host: string, port: number, method: string, path: string): void {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  const again = (): void => ask(host, port, method, path, { agent }, (answer) => { fs.writeSync(1, `${answer}\n`); setTimeout(again, 100) })
  again()
}

const end = (address: string | undefined, port: number | undefined): string => (address?.includes(':') ? `[${address}]:${port}` : `${address}:${port}`)

/** Sends a line a second time after a pause when `hold` is set, over the same connection. */
function tcp(host: string, port: number, from: { localPort?: number; localAddress?: string }, payload = 'hello'): void {
  const client = net.connect({ host, port, ...from }, () => client.write(payload))
  client.on('data', (data) => finish({ reply: data.toString(), from: end(client.remoteAddress, client.remotePort) }))
  client.on('error', (error) => finish({ error: error.message }))
}

/** Prints a line for every answer over one connection, asking every 100 ms, until killed. */
function stream(host: string, port: number): void {
  const client = net.connect({ host, port }, () => setInterval(() => client.write('again'), 100))
  client.on('data', (data) => fs.writeSync(1, `${data.toString()}\n`))
  client.on('error', (error) => finish({ error: error.message }))
}

function udp(host: string, port: number, localPort: number, address = host.includes(':') ? '::' : '0.0.0.0', payload = 'hello'): void {
  const client = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4')
  client.on('message', (data, from) => finish({ reply: data.toString(), from: end(from.address, from.port) }))
  client.on('error', (error) => finish({ error: error.message }))
  client.bind(localPort, address, () => client.connect(port, host, () => client.send(payload)))
}

/** A datagram of 1,350 bytes that must not be cut, twice: the second tells what a router said of the first. */
function unfragmented(host: string, port: number): void {
  const AF_INET = 2, SOCK_DGRAM = 2, IPPROTO_IP = 0, IP_MTU_DISCOVER = 10, IP_PMTUDISC_DO = 2
  const fd = socket(AF_INET, SOCK_DGRAM, 0)
  const always = Buffer.alloc(4)
  always.writeInt32LE(IP_PMTUDISC_DO)
  setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, always, always.length)
  const address = Buffer.alloc(16)
  address.writeUInt16LE(AF_INET, 0)
  address.writeUInt16BE(port, 2)
  Buffer.from(host.split('.').map(Number)).copy(address, 4)
  call(fd, address, 16)
  const payload = Buffer.alloc(1322)
  setInterval(() => { if (send(fd, payload, payload.length, 0) < 0) finish({ error: koffi.errno() === os.constants.errno.EMSGSIZE ? 'EMSGSIZE' : `errno ${koffi.errno()}` }) }, 50)
}

function ping(host: string): void {
  const AF_INET = 2, SOCK_RAW = 3, ICMP = 1
  const fd = socket(AF_INET, SOCK_RAW, ICMP)
  const address = Buffer.alloc(16)
  address.writeUInt16LE(AF_INET, 0)
  Buffer.from(host.split('.').map(Number)).copy(address, 4)
  call(fd, address, 16)
  const request = Buffer.from('0800f7fd0001000100000000', 'hex') // checksum: ~(0x0800 + 1 + 1)
  request.writeUInt16BE(0xffff - 0x0802, 2)
  send(fd, request, request.length, 0)
  setTimeoutOf(fd)
  const buffer = Buffer.alloc(2048)
  if (recv(fd, buffer, buffer.length, 0) < 0) finish({ error: 'timeout' })
  const l4 = (buffer.readUInt8(0) & 0xf) * 4
  finish({ reply: `type ${buffer.readUInt8(l4)}`, from: [...buffer.subarray(12, 16)].join('.'), ttl: buffer.readUInt8(8) })
}

/** The kernel sees to checksums, and gives what comes after the IPv6 header. */
function ping6(host: string): void {
  const AF_INET6 = 10, SOCK_RAW = 3, ICMPV6 = 58, ECHO_REPLY = 129
  const fd = socket(AF_INET6, SOCK_RAW, ICMPV6)
  const address = Buffer.alloc(28)
  address.writeUInt16LE(AF_INET6, 0)
  ipv6Bytes(host).copy(address, 8)
  call(fd, address, address.length)
  const request = Buffer.from('8000000000010001', 'hex')
  send(fd, request, request.length, 0)
  setTimeoutOf(fd)
  const buffer = Buffer.alloc(2048)
  for (;;) {
    if (recv(fd, buffer, buffer.length, 0) < 0) finish({ error: 'timeout' })
    if (buffer.readUInt8(0) === ECHO_REPLY) finish({ reply: `type ${ECHO_REPLY}` })
  }
}

function setTimeoutOf(fd: number): void {
  const SOL_SOCKET = 1, SO_RCVTIMEO = 20
  const timeout = Buffer.alloc(16)
  timeout.writeBigInt64LE(BigInt(Math.floor(TIMEOUT_MS / 1000)), 0)
  timeout.writeBigInt64LE(BigInt(TIMEOUT_MS % 1000) * 1000n, 8)
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeout, timeout.length)
}

function sniff(device: string): void {
  const AF_PACKET = 17, SOCK_RAW = 3, ETH_P_ALL = 0x0300
  const fd = socket(AF_PACKET, SOCK_RAW, ETH_P_ALL)
  const address = Buffer.alloc(20)
  address.writeUInt16LE(AF_PACKET, 0)
  address.writeUInt16LE(ETH_P_ALL, 2)
  address.writeInt32LE(Number(fs.readFileSync(`/sys/class/net/${device}/ifindex`, 'utf8')), 4)
  bind(fd, address, 20)
  fs.writeSync(1, 'sniffing\n')
  const buffer = Buffer.alloc(65536)
  for (;;) {
    const size = recv(fd, buffer, buffer.length, 0)
    if (size > 0) fs.writeSync(1, `${buffer.toString('hex', 0, size)}\n`)
  }
}

const [mode = '', host = '', port = '', source, address] = process.argv.slice(2)
if (!['serve', 'web', 'sniff', 'stream', 'visit'].includes(mode)) setTimeout(() => finish({ error: 'timeout' }), TIMEOUT_MS)
switch (mode) {
  case 'serve': serve(host, process.argv.slice(4).map(Number)); break
  case 'web': web(host, process.argv.slice(4).map(Number)); break
  case 'http': ask(host, Number(port), source ?? 'GET', address ?? '/', { localPort: Number(process.argv[7] ?? 0) }, (reply) => finish({ reply })); break
  case 'visit': visit(host, Number(port), source ?? 'GET', address ?? '/'); break
  case 'tcp': tcp(host, Number(port), { localPort: Number(source ?? 0), ...(address === undefined ? {} : { localAddress: address }) }); break
  case 'big': tcp(host, Number(port), {}, BIG); break
  case 'bigudp': udp(host, Number(port), 0, undefined, 'x'.repeat(4000)); break
  case 'stream': stream(host, Number(port)); break
  case 'udp': udp(host, Number(port), Number(source ?? 0), address); break
  case 'unfragmented': unfragmented(host, Number(port)); break
  case 'ping': (host.includes(':') ? ping6 : ping)(host); break
  case 'sniff': sniff(host); break
  default: finish({ error: `unknown mode ${mode}` })
}
