import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import http from 'node:http'
import { dirname } from 'node:path'
import type * as z from 'zod/mini'
import { messageOf } from '../log.ts'

export interface ApiRequest { path: string; parameters: string[]; body: () => Promise<unknown> }
export type Answer = { status?: number; body: unknown } | { stream: (response: http.ServerResponse) => void }
/** `GET /v1/endpoint/*`: a star stands for one part of the path, two for any number. The first that fits counts. */
export type Routes = Record<string, (request: ApiRequest) => Answer | Promise<Answer>>

/** An answer other than 200. */
export class ApiError extends Error {
  readonly status: number
  constructor(status: number, message: string) { super(message); this.status = status }
}

/** A request's body as a schema has it. Throws ApiError 400 with what is wrong. */
export function bodyAs<T>(schema: z.ZodMiniType<T>, body: unknown): T {
  const parsed = schema.safeParse(body)
  if (!parsed.success) throw new ApiError(400, parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '))
  return parsed.data
}

interface Route { method: string; pattern: RegExp; handler: Routes[string] }

const tableOf = (routes: Routes): Route[] => Object.entries(routes).map(([route, handler]) => {
  const [method = '', path = ''] = route.split(' ')
  return { method, pattern: new RegExp(`^${path.replaceAll(/\*+/g, (star) => (star === '*' ? '([^/]+)' : '(.*)'))}$`), handler }
})

/** `serve` gives it other routes while it runs. */
export function createApiServer(routes: Routes): http.Server & { serve: (routes: Routes) => void } {
  let table = tableOf(routes)
  const server = http.createServer((request, response) => {
    const path = (request.url ?? '/').split('?')[0]!
    const found = table.map((entry) => ({ ...entry, match: entry.pattern.exec(path) })).find(({ method, match }) => match !== null && method === request.method)
    const run = async (): Promise<Answer> => {
      if (found === undefined) throw new ApiError(404, `${request.method} ${path}: no such call`)
      return found.handler({ path, parameters: found.match!.slice(1).map(decodeURIComponent), body: () => readJson(request) })
    }
    run().then((answer) => respond(response, answer), (error: unknown) => {
      respond(response, { status: error instanceof ApiError ? error.status : 500, body: { error: messageOf(error) } })
    })
  })
  return Object.assign(server, { serve: (next: Routes) => { table = tableOf(next) } })
}

function respond(response: http.ServerResponse, answer: Answer): void {
  if ('stream' in answer) { answer.stream(response); return }
  const text = JSON.stringify(answer.body ?? null)
  response.writeHead(answer.status ?? 200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), connection: 'close' })
  response.end(text)
}

async function readJson(request: http.IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  try { return JSON.parse(Buffer.concat(chunks).toString()) } catch (error) { throw new ApiError(400, `body is not JSON: ${messageOf(error)}`) }
}

/** Listens on a Unix socket, in place of one an earlier agent may have left. */
export async function listenUnix(server: http.Server, path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true })
  rmSync(path, { force: true })
  await new Promise<void>((resolve, reject) => { server.once('error', reject); server.listen(path, resolve) })
  chmodSync(path, 0o660)
}

export async function listenAt(server: http.Server, { host, port }: { host?: string; port: number }): Promise<http.Server> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new Error(`unable to listen on port ${port}: ${error.message}: another program has it, or the address is not of this node`, { cause: error })))
    server.listen(port, host, resolve)
  })
  return server
}

export async function listenLoopback(server: http.Server, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => { server.once('error', reject); server.listen(port, '127.0.0.1', resolve) })
}
