import { readFileSync } from 'node:fs'
import http2 from 'node:http2'
import { messageOf } from '../log.ts'

/**
 * A thin Kubernetes client: lists, watches and writes over one HTTP/2 connection. @kubernetes/client-node bundles to megabytes and opens
 * a TLS connection a watch; under emulation each handshake costs tens of milliseconds and each megabyte of JavaScript a tenth of a second
 * (measured: see docs in agent/build.ts).
 */
export interface KubeConfig {
  /** https://host:port */
  server: string
  ca: string
  /** Path of a bearer token; read anew for every connection, since kubelet rotates it. */
  tokenFile?: string
  cert?: string
  key?: string
}

/** A refusal by the API server, or no answer from it (status 0). */
export class KubeError extends Error {
  readonly status: number
  readonly reason: string
  constructor(what: string, status: number, reason: string, detail: string, options?: ErrorOptions) {
    super(`${what}: ${detail}`, options)
    this.status = status
    this.reason = reason
  }
}

/**
 * What may be on its way to us. An API server drops a watch whose events wait for more than 50 ms, and up to 1.20 does not say so for services: with the 64 KiB that HTTP/2 begins with,
 * 40 objects that change at once are enough on an emulated node.
 */
const windowBytes = { stream: 8 << 20, connection: 32 << 20 } as const

export interface RequestOptions { query?: Record<string, string>; body?: unknown; contentType?: string; timeoutMs?: number }

export class KubeClient {
  readonly #config: KubeConfig
  #session: http2.ClientHttp2Session | undefined
  #closed = false
  constructor(config: KubeConfig) { this.#config = config }

  get server(): string { return this.#config.server }

  get<T>(path: string, query?: Record<string, string>): Promise<T> { return this.request<T>('GET', path, query === undefined ? {} : { query }) }
  create<T>(path: string, body: unknown): Promise<T> { return this.request<T>('POST', path, { body }) }
  replace<T>(path: string, body: unknown): Promise<T> { return this.request<T>('PUT', path, { body }) }
  mergePatch<T>(path: string, body: unknown): Promise<T> { return this.request<T>('PATCH', path, { body, contentType: 'application/merge-patch+json' }) }
  async delete(path: string): Promise<void> {
    await this.request('DELETE', path).catch((error: unknown) => { if (!isStatus(error, 404)) throw error })
  }

  /** Deletes an object only if it is still of that version; false when it is not, or is gone. */
  async deleteVersion(path: string, resourceVersion: string): Promise<boolean> {
    try {
      await this.request('DELETE', path, { body: { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { resourceVersion } } })
      return true
    } catch (error) {
      if (isStatus(error, 404) || isStatus(error, 409)) return false
      throw error
    }
  }

  async request<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    const { timeoutMs = 30_000 } = options
    const what = `${method} ${path}`
    const stream = this.#open(method, path, options)
    stream.setTimeout(timeoutMs, () => stream.destroy(new Error(`no answer from ${this.server} in ${timeoutMs} ms`)))
    const { status, text } = await readAll(stream).catch((error: unknown) => { throw new KubeError(what, 0, 'Unreachable', messageOf(error), { cause: error }) })
    const body = parseBody(text)
    if (status >= 400) throw new KubeError(what, status, body.reason ?? String(status), body.message ?? text.trim())
    return body as T
  }

  /** Streams a watch's lines until the server ends it, it falls silent, or `signal` fires. Throws as `request` does. */
  async watch(path: string, query: Record<string, string>, onLine: (line: string) => void, options: { signal: AbortSignal; silenceMs: number; onOpen: () => void }): Promise<void> {
    const stream = this.#open('GET', path, { query })
    const abort = () => stream.close(http2.constants.NGHTTP2_CANCEL)
    options.signal.addEventListener('abort', abort, { once: true })
    stream.setTimeout(options.silenceMs, () => stream.destroy(new Error(`watch is silent for ${options.silenceMs} ms`)))
    let status = 0
    let rest = ''
    try {
      stream.on('response', (headers) => {
        status = Number(headers[':status'])
        if (status === 200) options.onOpen()
      })
      stream.setEncoding('utf8')
      for await (const chunk of stream) {
        const lines = (rest + String(chunk)).split('\n')
        rest = lines.pop() ?? ''
        if (status === 200) for (const line of lines) if (line !== '') onLine(line)
      }
    } catch (error) {
      if (!options.signal.aborted) throw new KubeError(`WATCH ${path}`, 0, 'Unreachable', messageOf(error), { cause: error })
    } finally {
      options.signal.removeEventListener('abort', abort)
    }
    if (status >= 400) throw new KubeError(`WATCH ${path}`, status, parseBody(rest).reason ?? String(status), parseBody(rest).message ?? rest.trim())
  }

  close(): void {
    this.#closed = true
    this.#session?.destroy()
  }

  #open(method: string, path: string, { query, body, contentType = 'application/json' }: RequestOptions): http2.ClientHttp2Stream {
    const token = this.#config.tokenFile === undefined ? undefined : readFileSync(this.#config.tokenFile, 'utf8').trim()
    const search = query === undefined ? '' : `?${new URLSearchParams(query).toString()}`
    const stream = this.#connection().request({
      ':method': method, ':path': path + search, accept: 'application/json', 'user-agent': 'lash',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...(body === undefined ? {} : { 'content-type': contentType }),
      // Node takes it that DELETE has no body.
    }, { endStream: body === undefined })
    stream.end(body === undefined ? undefined : JSON.stringify(body))
    return stream
  }

  #connection(): http2.ClientHttp2Session {
    if (this.#closed) throw new KubeError('connect', 0, 'Closed', 'the client is closed')
    const usable = this.#session !== undefined && !this.#session.closed && !this.#session.destroyed
    if (usable) return this.#session!
    const { server, ca, cert, key } = this.#config
    const session = http2.connect(server, { ca, settings: { initialWindowSize: windowBytes.stream }, ...(cert === undefined ? {} : { cert }), ...(key === undefined ? {} : { key }) })
    session.once('connect', () => session.setLocalWindowSize(windowBytes.connection))
    // Requests report the failure; without a listener it would be thrown.
    session.on('error', () => undefined)
    session.on('goaway', () => session.close())
    const alive = setInterval(() => pingOrDestroy(session), 15_000)
    session.on('close', () => clearInterval(alive))
    this.#session = session
    return session
  }
}

/** A node cut off from the API server gets no reset: only an unanswered ping tells. */
function pingOrDestroy(session: http2.ClientHttp2Session): void {
  if (session.destroyed || session.connecting) return
  const deadline = setTimeout(() => session.destroy(new Error('API server does not answer pings')), 10_000)
  if (!session.ping(() => clearTimeout(deadline))) clearTimeout(deadline)
}

async function readAll(stream: http2.ClientHttp2Stream): Promise<{ status: number; text: string }> {
  let status = 0
  stream.on('response', (headers) => { status = Number(headers[':status']) })
  stream.setEncoding('utf8')
  let text = ''
  for await (const chunk of stream) text += String(chunk)
  if (status === 0) throw new Error('connection closed before an answer')
  return { status, text }
}

function parseBody(text: string): { reason?: string; message?: string } {
  try { return JSON.parse(text) as { reason?: string; message?: string } } catch { return {} }
}

export function isStatus(error: unknown, status: number): boolean {
  return error instanceof KubeError && error.status === status
}
