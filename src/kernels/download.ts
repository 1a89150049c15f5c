import { existsSync, rmSync, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import pRetry, { AbortError } from 'p-retry'
import { isNoSpace } from '../core/cache.ts'
import { KernelbedError } from '../core/errors.ts'
import { httpGet, type HttpAnswer } from './http.ts'

export interface DownloadOptions {
  readonly signal: AbortSignal
  /** Bytes there are, of how many (undefined: the server doesn't say). */
  readonly onProgress?: (done: number, total: number | undefined) => void
  /** The download goes on from this many bytes. */
  readonly onResume?: (from: number) => void
  /** Longest silence of the server, ms. Default 30 s. */
  readonly silenceMs?: number
  /** Pause before the first new attempt, ms; doubles with each. Default 250. */
  readonly pauseMs?: number
}

/** Attempts in a row that may bring nothing, and attempts in all: a server could cut after every byte. */
const fruitless = 5
const attempts = 200
/** Far above any kernel package; keeps a server without end from filling the disk. */
const maxBytes = 4 * 2 ** 30

const sizeOf = (path: string): number => (existsSync(path) ? statSync(path).size : 0)

/**
 * Downloads `url` into the file `part`, going on from what an earlier run left there. A cut or silent connection is resumed where it ended; a server that doesn't do ranges
 * begins anew. Nothing is verified: the caller checks the whole, and renames or removes the file. On an error (KernelbedError, host) what has come stays for the next run.
 */
export async function download(url: string, part: string, options: DownloadOptions): Promise<void> {
  let before = 0
  let count = 0
  const once = async (): Promise<void> => {
    before = sizeOf(part)
    count++
    options.signal.throwIfAborted()
    await attempt(url, part, before, options)
  }
  try {
    await pRetry(once, {
      retries: fruitless - 1,
      minTimeout: options.pauseMs ?? 250,
      maxTimeout: 4000,
      signal: options.signal,
      shouldRetry: ({ error }) => count < attempts && !isNoSpace(error),
      shouldConsumeRetry: () => sizeOf(part) <= before,
    })
  } catch (error) {
    if (error instanceof KernelbedError || isNoSpace(error)) throw error
    throw new KernelbedError(`cannot download ${url}: ${error instanceof Error ? error.message : String(error)}`, { blame: 'host', hint: `try again: what has come (${megabytes(sizeOf(part))}) is kept, and the download goes on from there` })
  }
}

async function attempt(url: string, part: string, have: number, options: DownloadOptions): Promise<void> {
  const answer = await httpGet(url, { signal: options.signal, silenceMs: options.silenceMs ?? 30_000, ...(have > 0 ? { headers: { range: `bytes=${have}-` } } : {}) })
  try {
    const { start, total } = place(answer, url, have, part)
    if (start > 0) options.onResume?.(start)
    await store(answer, part, start, total, options)
  } finally {
    answer.drop()
  }
}

/** Where the answer's bytes belong, and the length of the whole. */
function place(answer: HttpAnswer, url: string, have: number, part: string): { start: number; total: number | undefined } {
  const { status, headers } = answer
  const length = headers.get('content-length')
  if (status === 200) return { start: 0, total: length === null ? undefined : Number(length) }
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('content-range') ?? '')
  if (status === 206 && range && Number(range[1]) === have) return { start: have, total: range[2] === '*' ? undefined : Number(range[2]) }
  // The whole is there already: the range after its last byte can't be had.
  if (status === 416 && headers.get('content-range') === `bytes */${have}`) return { start: have, total: have }
  if (status === 206 || status === 416) {
    rmSync(part, { force: true })
    throw new Error(`the server has no range from ${have} on (HTTP ${status})`)
  }
  if (status >= 500 || status === 408 || status === 429) throw new Error(`HTTP ${status}`)
  throw new AbortError(new KernelbedError(`cannot download ${url}: HTTP ${status}`, { blame: 'host', hint: 'the source names a file that it does not have: try again later, or take the kernel from elsewhere' }))
}

async function store(answer: HttpAnswer, part: string, start: number, total: number | undefined, options: DownloadOptions): Promise<void> {
  if (start > 0 && start === total) return
  const file = await open(part, start > 0 ? 'a' : 'w')
  let done = start
  try {
    for await (const chunk of answer.body) {
      await file.write(chunk)
      done += chunk.length
      options.onProgress?.(done, total)
      if (done > (total ?? maxBytes)) throw endless(part, total ?? maxBytes)
    }
  } finally {
    await file.close()
  }
  if (total !== undefined && done < total) throw new Error(`connection cut at ${done} of ${total} bytes`)
}

/** Nothing of it is of use to a later run. */
function endless(part: string, limit: number): AbortError {
  rmSync(part, { force: true })
  return new AbortError(new KernelbedError(`the server sends more than ${megabytes(limit)}`, { blame: 'host', hint: 'this is no kernel package: take the kernel from elsewhere' }))
}

export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`
