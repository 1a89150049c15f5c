import { KernelbedError } from '../core/errors.ts'

export interface HttpOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly signal: AbortSignal
  /** Longest silence, before the answer begins and within it, ms. */
  readonly silenceMs: number
}

/** A server's answer, with its body's chunks as they come. */
export interface HttpAnswer {
  readonly status: number
  readonly headers: Headers
  /** Throws when the connection is cut or silent for too long. To be read whole, or `drop` be called. */
  readonly body: AsyncIterable<Uint8Array>
  drop(): void
}

/** GET, redirects followed. A connection that stays silent is ended. Throws an Error whose message says why there is no answer. */
export async function httpGet(url: string, { headers = {}, signal, silenceMs }: HttpOptions): Promise<HttpAnswer> {
  const own = new AbortController()
  const silence = setTimeout(() => own.abort(new Silence(`no answer in ${silenceMs / 1000} s`)), silenceMs)
  const end = (): void => {
    clearTimeout(silence)
    own.abort()
  }
  try {
    // A body in another encoding could not be resumed, nor be what the checksum is of.
    const response = await fetch(url, { headers: { 'accept-encoding': 'identity', ...headers }, signal: AbortSignal.any([signal, own.signal]) })
    return { status: response.status, headers: response.headers, body: chunks(response, () => silence.refresh(), end), drop: end }
  } catch (error) {
    end()
    throw error instanceof Silence ? error : new Error(reason(error), { cause: error })
  }
}

class Silence extends Error {}

async function* chunks(response: Response, heard: () => void, end: () => void): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of response.body ?? []) {
      heard()
      yield chunk as Uint8Array
    }
  } catch (error) {
    throw error instanceof Silence ? error : new Error(`connection cut: ${reason(error)}`, { cause: error })
  } finally {
    end()
  }
}

/** `fetch failed` says nothing; its cause does. */
const reason = (error: unknown): string => (error instanceof Error ? (error.cause instanceof Error ? error.cause.message || String((error.cause as NodeJS.ErrnoException).code) : error.message) : String(error))

/** A server is out of reach, or fails: another time may be better. */
export class UnreachableError extends KernelbedError {
  constructor(url: string, why: string) {
    super(`cannot read ${url}: ${why}`, { blame: 'host', hint: 'check the network, or take kernels from elsewhere (KERNELBED_MIRROR)' })
    this.name = 'UnreachableError'
  }
}

/** A small file, whole; undefined where the server has none. Throws UnreachableError. */
export async function httpRead(url: string, options: HttpOptions & { readonly maxBytes: number }): Promise<Buffer | undefined> {
  try {
    // Once more: a server may have closed the connection kept from the last request.
    return await readOnce(url, options).catch((error: unknown) => {
      if (error instanceof Silence || options.signal.aborted) throw error
      return readOnce(url, options)
    })
  } catch (error) {
    throw new UnreachableError(url, error instanceof Error ? error.message : String(error))
  }
}

async function readOnce(url: string, { signal, silenceMs, maxBytes }: HttpOptions & { readonly maxBytes: number }): Promise<Buffer | undefined> {
  const answer = await httpGet(url, { signal, silenceMs })
  if (answer.status !== 200) answer.drop()
  if (answer.status === 404 || answer.status === 403 || answer.status === 410) return undefined
  if (answer.status !== 200) throw new Error(`HTTP ${answer.status}`)
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of answer.body) {
    parts.push(part)
    if ((length += part.length) > maxBytes) throw new Error(`more than ${maxBytes} bytes`)
  }
  return Buffer.concat(parts)
}
