import http from 'node:http'
import type net from 'node:net'
import { hasFault } from '../fault.ts'
import type { ProxyOrigin } from '../datapath/types.ts'
import { BadRequest, checkRequest, endToEnd, requestHeaders, type Framing, type Target } from './headers.ts'
import type { L7Record } from './record.ts'
import type { RequestFacts } from './match.ts'

type Told = Pick<L7Record, 'type' | 'verdict' | 'http'>

/** What a connection asks of whom it belongs to. */
export interface Overseer {
  /** Whom the connection is for, and between whom, as the datapath has it now; undefined when it has forgotten. */
  origin(): ProxyOrigin | undefined
  decide(origin: ProxyOrigin, request: RequestFacts): boolean
  connect(origin: ProxyOrigin): net.Socket
  tell(origin: ProxyOrigin, told: Told): void
}

/** Cilium's answer to a request that policy doesn't let through. */
const denial = 'Access denied\r\n'

/**
 * A client's connection and the one to its server behind it, both kept open from request to request. Bodies are passed on as they come, no faster than
 * they are taken.
 */
export class ProxiedConnection {
  readonly #overseer: Overseer
  /** One connection: a server must not see a client's requests in another order. */
  readonly #agent: http.Agent
  #origin: ProxyOrigin
  /** Requests that are not answered to the end. */
  busy = 0

  constructor(origin: ProxyOrigin, overseer: Overseer) {
    this.#origin = origin
    this.#overseer = overseer
    this.#agent = Object.assign(new http.Agent({ keepAlive: true, maxSockets: 1, maxFreeSockets: 1 }), { createConnection: () => overseer.connect(this.#origin) })
  }

  get identities(): Pick<ProxyOrigin, 'srcIdentity' | 'dstIdentity'> { return this.#origin }

  handle(request: http.IncomingMessage, response: http.ServerResponse): void {
    this.busy++
    response.once('close', () => { this.busy-- })
    response.sendDate = false
    const facts = (target: Target): L7Record['http'] => ({ code: 0, method: request.method ?? '', ...target, protocol: `HTTP/${request.httpVersion}`, rawHeaders: request.rawHeaders })
    let checked: Framing & Target
    try {
      checked = checkRequest(request)
    } catch (error) {
      if (!(error instanceof BadRequest)) throw error
      this.#overseer.tell(this.#origin, { type: 'Request', verdict: 'Error', http: { ...facts({ host: request.headers.host ?? '', path: request.url ?? '' }), code: 400 } })
      refuse(response)
      return
    }
    const about = facts({ host: checked.host, path: checked.path })
    this.#refresh()
    const allowed = this.#overseer.decide(this.#origin, about)
    this.#overseer.tell(this.#origin, { type: 'Request', verdict: allowed ? 'Forwarded' : 'Denied', http: { ...about, code: allowed ? 0 : 403 } })
    if (allowed || hasFault('l7-forgets-403')) this.#forward(request, response, checked, about)
    else respond(response, 403, denial)
  }

  /** The client's identity may have changed since; the server's connection is made anew then, in the new one's name. */
  #refresh(): void {
    const now = this.#overseer.origin() ?? this.#origin
    if (now.srcIdentity !== this.#origin.srcIdentity) this.#agent.destroy()
    this.#origin = now
  }

  #forward(request: http.IncomingMessage, response: http.ServerResponse, checked: Framing & Target, about: L7Record['http']): void {
    const origin = this.#origin
    const tell = (verdict: L7Record['verdict'], code: number) => this.#overseer.tell(origin, { type: 'Response', verdict, http: { ...about, code } })
    let upstream: http.ClientRequest
    try {
      upstream = http.request({ agent: this.#agent, host: origin.ip, port: origin.port, method: about.method, path: checked.path, headers: requestHeaders(request, checked), setHost: false, maxHeaderSize: maxHeaderBytes, insecureHTTPParser: false })
    } catch {
      // Node refuses to send what its parser has let in: a character of a header or target.
      tell('Error', 400)
      refuse(response)
      return
    }
    upstream.maxHeadersCount = 0
    const abandon = () => { if (!response.writableFinished) upstream.destroy() }
    response.once('close', abandon)
    upstream.on('error', () => {
      response.off('close', abandon)
      request.unpipe(upstream)
      request.resume()
      if (response.headersSent) { response.destroy(); return }
      if (response.destroyed) return
      // The server ended a connection that was kept open while this request was on its way.
      if (upstream.reusedSocket && checked.kind === 'none') { this.#forward(request, response, checked, about); return }
      tell('Error', 503)
      respond(response, 503, 'upstream connect error or disconnect before headers\r\n')
    })
    upstream.on('response', (answer) => {
      tell('Forwarded', answer.statusCode ?? 0)
      response.writeHead(answer.statusCode ?? 502, answer.statusMessage ?? '', endToEnd(answer.rawHeaders))
      passOn(answer, response)
    })
    if (checked.kind === 'none') upstream.end()
    else passOn(request, upstream)
  }

  close(): void { this.#agent.destroy() }
}

/** Of a message's head; Node's own default, said because memory is bounded by it. */
export const maxHeaderBytes = 16 * 1024

/** A body as it comes, no faster than it is taken, and its trailers. One that breaks off does so at the other end too. */
function passOn(from: http.IncomingMessage, to: http.OutgoingMessage): void {
  from.pipe(to, { end: false })
  from.once('end', () => {
    if (from.rawTrailers.length > 0) to.addTrailers(pairsOf(from.rawTrailers))
    to.end()
  })
  from.once('close', () => { if (!from.complete) to.destroy() })
  from.on('error', () => to.destroy())
}

const pairsOf = (raw: string[]): [string, string][] => raw.flatMap((name, i) => (i % 2 === 0 ? [[name, raw[i + 1] ?? ''] as [string, string]] : []))

function respond(response: http.ServerResponse, status: number, body: string): void {
  response.writeHead(status, ['Content-Length', String(Buffer.byteLength(body)), 'Content-Type', 'text/plain', 'Date', new Date().toUTCString()])
  response.end(body)
}

/** After what can't be read with certainty nothing on the connection can. */
function refuse(response: http.ServerResponse): void {
  response.shouldKeepAlive = false
  response.writeHead(400, ['Connection', 'close', 'Content-Length', '0'])
  response.end()
}
