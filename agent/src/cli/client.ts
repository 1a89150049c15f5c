import { AsyncLocalStorage } from 'node:async_hooks'
import http from 'node:http'

const socketOfCall = new AsyncLocalStorage<string>()

/** Runs a command line against the agent at a socket, whatever this process's environment says. */
export const withSocket = <T>(path: string, run: () => Promise<T>): Promise<T> => socketOfCall.run(path, run)

export const socketPath = (): string => socketOfCall.getStore() ?? process.env['CILIUM_SOCK'] ?? '/var/run/cilium/cilium.sock'

/** No answer, or one other than 200. */
export class AgentError extends Error {
  /** The agent couldn't be reached at all. */
  readonly unreachable: boolean
  /** Of an answer. */
  readonly status: number | undefined
  constructor(message: string, unreachable: boolean, status?: number) { super(message); this.unreachable = unreachable; this.status = status }
}

export async function get<T>(path: string): Promise<T> { return call<T>('GET', path) }

export async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const response = await open(method, path, body)
  const text = await textOf(response)
  if (response.statusCode === 200) return JSON.parse(text) as T
  throw refusal(text, response.statusCode)
}

/** What an answer other than 200 says. */
function refusal(text: string, status: number | undefined): AgentError {
  let message = text.trim()
  try { message = (JSON.parse(text) as { error?: string }).error ?? message } catch { /* not JSON: shown as it is */ }
  return new AgentError(message, false, status)
}

/** An answer that has no end. */
export async function openStream(path: string): Promise<http.IncomingMessage> {
  const response = await open('GET', path)
  if (response.statusCode === 200) return response
  throw refusal(await textOf(response), response.statusCode)
}

async function textOf(response: http.IncomingMessage): Promise<string> {
  response.setEncoding('utf8')
  let text = ''
  for await (const chunk of response) text += String(chunk)
  return text
}

function open(method: string, path: string, body?: unknown): Promise<http.IncomingMessage> {
  const socket = socketPath()
  return new Promise((resolve, reject) => {
    // Without a length Node sends no body along with DELETE.
    const text = body === undefined ? undefined : JSON.stringify(body)
    const headers = text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
    const request = http.request({ socketPath: socket, method, path, headers, agent: false }, resolve)
    request.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'ENOENT' ? 'no such file or directory' : error.code === 'ECONNREFUSED' ? 'connection refused' : error.message
      reject(new AgentError(`Get http://${encodeURIComponent(socket)}${path}: dial unix ${socket}: connect: ${why}\nIs the agent running?`, true))
    })
    request.end(text)
  })
}
