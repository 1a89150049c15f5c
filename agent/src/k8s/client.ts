import { readFile } from 'node:fs/promises'
import { HttpMethod, KubeConfig, RequestContext, Watch } from '@kubernetes/client-node'
import { Agent, fetch } from 'undici'
import { messageOf } from '../log.ts'

export interface KubeOptions {
  /** https://host:port */
  server: string
  /** PEM. */
  ca: string
  /** Path of a bearer token; read anew for every request, since kubelet rotates it. */
  tokenFile: string
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

/** Until a request is given up. */
const answerMs = 30_000
/** A server says each minute how far a watch is (bookmarks); one that does not has lost it. */
const silenceMs = 100_000
/** The library's configuration makes a connection for every request, and has one token for all configurations of a process; this one has its own of both. */
class SharedConnection extends KubeConfig {
  readonly dispatcher: Agent
  readonly #tokenFile: string

  constructor({ server, ca, tokenFile }: KubeOptions) {
    super()
    this.loadFromClusterAndUser({ name: 'cluster', server, skipTLSVerify: false }, { name: 'lash' })
    this.#tokenFile = tokenFile
    // Not by HTTP/2: its windows are of one size for all (docs/decisions.md).
    this.dispatcher = new Agent({ connect: { ca, keepAlive: true, keepAliveInitialDelay: 15_000 }, allowH2: false, keepAliveTimeout: 60_000, headersTimeout: answerMs, bodyTimeout: silenceMs })
  }

  override async applySecurityAuthentication(context: RequestContext): Promise<void> {
    context.setHeaderParam('Authorization', `Bearer ${(await readFile(this.#tokenFile, 'utf8')).trim()}`)
    context.setHeaderParam('User-Agent', 'lash')
    context.setDispatcher(this.dispatcher)
  }
}

interface RequestOptions { query?: Record<string, string>; body?: unknown; contentType?: string }
export interface WatchEvent<T> { type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR'; object: T & { code?: number; message?: string } }

/** Objects by the paths of the API. */
export class KubeClient {
  readonly server: string
  readonly #config: SharedConnection
  readonly #watches: Watch

  constructor(options: KubeOptions) {
    this.server = options.server
    this.#config = new SharedConnection(options)
    // Its own 30 s are less than a minute.
    this.#watches = Object.assign(new Watch(this.#config), { requestTimeoutMs: silenceMs })
  }

  get<T>(path: string, query?: Record<string, string>): Promise<T> { return this.#request<T>(HttpMethod.GET, path, query === undefined ? {} : { query }) }
  create<T>(path: string, body: unknown): Promise<T> { return this.#request<T>(HttpMethod.POST, path, { body }) }
  mergePatch<T>(path: string, body: unknown): Promise<T> { return this.#request<T>(HttpMethod.PATCH, path, { body, contentType: 'application/merge-patch+json' }) }
  async delete(path: string): Promise<void> {
    await this.#request(HttpMethod.DELETE, path).catch((error: unknown) => { if (!isStatus(error, 404)) throw error })
  }

  /** Deletes an object only if it is still of that version; false when it is not, or is gone. */
  async deleteVersion(path: string, resourceVersion: string): Promise<boolean> {
    try {
      await this.#request(HttpMethod.DELETE, path, { body: { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { resourceVersion } } })
      return true
    } catch (error) {
      if (isStatus(error, 404) || isStatus(error, 409)) return false
      throw error
    }
  }

  /**
   * Streams a watch's events until the server ends it, it falls silent, `onEvent` throws, or `signal` fires; throws what it ended by, but for the server's own end and the signal. `onOpen` is
   * called when the server has accepted it.
   */
  async watch<T>(path: string, query: Record<string, string>, onEvent: (event: WatchEvent<T>) => void, { signal, onOpen }: { signal: AbortSignal; onOpen: () => void }): Promise<void> {
    const ended = Promise.withResolvers<unknown>()
    let over = false
    const end = (error?: unknown): void => { over = true; ended.resolve(error) }
    const callback = (type: string, object: unknown): void => {
      // Lines that were read already come after the end too.
      if (over) return
      // The library takes what a callback throws for bad JSON.
      try { onEvent({ type, object } as WatchEvent<T>) } catch (error) { end(error) }
    }
    const stop = (): void => end()
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    void this.#watches.watch(path, query, callback, end).then((request) => {
      // One that has failed is aborted already.
      if (!request.signal.aborted) onOpen()
      void ended.promise.then(() => request.abort())
    }, end)
    const error = await ended.promise
    signal.removeEventListener('abort', stop)
    if (error === undefined || error === null || signal.aborted) return
    if (error instanceof KubeError) throw error
    const status = statusOf(error)
    throw new KubeError(`WATCH ${path}`, status, status === 0 ? 'Unreachable' : String(status), reasonOf(error), { cause: error })
  }

  close(): void {
    void this.#config.dispatcher.destroy()
  }

  async #request<T>(method: HttpMethod, path: string, { query, body, contentType = 'application/json' }: RequestOptions = {}): Promise<T> {
    const what = `${method} ${path}`
    const context = new RequestContext(`${this.server}${path}${query === undefined ? '' : `?${new URLSearchParams(query).toString()}`}`, method)
    if (body !== undefined) context.setHeaderParam('Content-Type', contentType)
    const { status, text } = await this.#answer(context, body).catch((error: unknown) => { throw new KubeError(what, 0, 'Unreachable', reasonOf(error), { cause: error }) })
    const answer = parseBody(text)
    if (status >= 400) throw new KubeError(what, status, answer.reason ?? String(status), answer.message ?? text.trim())
    return answer as T
  }

  async #answer(context: RequestContext, body: unknown): Promise<{ status: number; text: string }> {
    await this.#config.applySecurityAuthentication(context)
    const response = await fetch(context.getUrl(), {
      method: context.getHttpMethod(), headers: context.getHeaders(), dispatcher: this.#config.dispatcher, signal: AbortSignal.timeout(answerMs), ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { status: response.status, text: await response.text() }
  }
}

/** `fetch failed` has why in its cause. */
function reasonOf(error: unknown): string {
  return error instanceof TypeError && error.cause !== undefined ? messageOf(error.cause) : messageOf(error)
}

const statusOf = (error: unknown): number => (error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : 0)

function parseBody(text: string): { reason?: string; message?: string } {
  try { return JSON.parse(text) as { reason?: string; message?: string } } catch { return {} }
}

export function isStatus(error: unknown, status: number): boolean {
  return error instanceof KubeError && error.status === status
}
