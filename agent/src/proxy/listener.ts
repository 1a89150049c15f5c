import http from 'node:http'
import type net from 'node:net'
import type { ProxyOrigin } from '../datapath/types.ts'
import { maxHeaderBytes, ProxiedConnection, type Overseer } from './connection.ts'

export interface ListenerDeps {
  origin: (socket: net.Socket) => ProxyOrigin | undefined
  decide: Overseer['decide']
  connect: Overseer['connect']
  tell: Overseer['tell']
  failed: (error: Error) => void
}

/** What bounds memory: connections at a listener, each with a head of a message and the buffers of two sockets at most. */
const limits = { connections: 4096, headersMs: 60_000, idleMs: 3_600_000 } as const
const badRequest = 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'

/** Where the connections of one redirect come in. */
export class ProxyListener {
  readonly #server: http.Server
  readonly #connections = new Map<net.Socket, ProxiedConnection>()
  readonly #deps: ListenerDeps

  /** `fd` listens already. */
  constructor(fd: number, deps: ListenerDeps) {
    this.#deps = deps
    // Without limits on whole requests: an upload may take long.
    this.#server = http.createServer({ maxHeaderSize: maxHeaderBytes, insecureHTTPParser: false, keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: limits.headersMs, noDelay: true }, (request, response) => this.#handle(request, response))
    this.#server.maxConnections = limits.connections
    // Node forgets headers beyond a number unless told otherwise; the bytes bound them.
    this.#server.maxHeadersCount = 0
    this.#server.timeout = limits.idleMs
    this.#server.on('connection', (socket: net.Socket) => this.#accept(socket))
    this.#server.on('checkContinue', (request: http.IncomingMessage, response: http.ServerResponse) => this.#continue(request, response))
    this.#server.on('connect', (request: http.IncomingMessage, socket: net.Socket) => this.#refuse(socket))
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket: net.Socket) => this.#clientError(error, socket))
    this.#server.on('error', (error) => deps.failed(error))
    this.#server.listen({ fd })
  }

  get connections(): number { return this.#connections.size }

  /** Ends the connections whose ends policy no longer lets talk at all. */
  endThose(denied: (identities: Pick<ProxyOrigin, 'srcIdentity' | 'dstIdentity'>) => boolean): void {
    for (const [socket, connection] of this.#connections) if (denied(connection.identities)) socket.destroy()
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#connections.keys()) socket.destroy()
  }

  #accept(socket: net.Socket): void {
    const origin = this.#deps.origin(socket)
    // Only redirected connections have one.
    if (origin === undefined) { socket.destroy(); return }
    const { decide, connect, tell } = this.#deps
    const connection = new ProxiedConnection(origin, { origin: () => this.#deps.origin(socket), decide, connect, tell })
    this.#connections.set(socket, connection)
    socket.once('close', () => { this.#connections.delete(socket); connection.close() })
  }

  #handle(request: http.IncomingMessage, response: http.ServerResponse): void {
    const connection = this.#connections.get(request.socket)
    if (connection === undefined) request.socket.destroy()
    else connection.handle(request, response)
  }

  /** The body is asked for once the request is let through: a denied one sends none. */
  #continue(request: http.IncomingMessage, response: http.ServerResponse): void {
    request.once('resume', () => { if (!response.headersSent) response.writeContinue() })
    this.#handle(request, response)
  }

  /** A tunnel would take what comes after out of policy's sight. */
  #refuse(socket: net.Socket): void { socket.end(badRequest) }

  #clientError(error: NodeJS.ErrnoException, socket: net.Socket): void {
    const connection = this.#connections.get(socket)
    // An answer under way must not be written into.
    if (error.code === 'ECONNRESET' || !socket.writable || connection === undefined || connection.busy > 0) { socket.destroy(); return }
    const [origin, nothing] = [this.#deps.origin(socket), { code: 400, method: '', host: '', path: '', protocol: '', rawHeaders: [] }]
    if (origin !== undefined) this.#deps.tell(origin, { type: 'Request', verdict: 'Error', http: nothing })
    socket.end(badRequest, () => socket.destroy())
  }
}
