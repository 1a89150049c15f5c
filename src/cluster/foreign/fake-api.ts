import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

/** Answers a request: a body, a status that is no success, or a Status that says which it is (`code`). */
export type Answers = (request: { readonly method: string; readonly path: string; readonly query: URLSearchParams; readonly body: unknown }) => object | number

export interface FakeApi {
  readonly url: string
  readonly kubeconfig: string
  /** `POST /api/v1/namespaces`, in the order they came. */
  readonly requests: readonly string[]
  close(): Promise<void>
}

const statusOf = (body: object): number => ('kind' in body && body.kind === 'Status' && 'code' in body ? Number(body.code) : 200)

/** An API server of which only the answers are real; over HTTP, with a kubeconfig that names it. */
export async function fakeApi(answers: Answers): Promise<FakeApi> {
  const requests: string[] = []
  const answer = async (request: IncomingMessage): Promise<object | number> => {
    const url = new URL(request.url ?? '/', 'http://fake')
    const sent = await text(request)
    requests.push(`${request.method} ${url.pathname}`)
    return answers({ method: request.method ?? '', path: url.pathname, query: url.searchParams, body: sent === '' ? undefined : JSON.parse(sent) })
  }
  const server = createServer((request, response) => {
    void answer(request).then((given) => {
      const [status, body] = typeof given === 'number' ? [given, { kind: 'Status', message: `the fake says ${given}` }] : [statusOf(given), given]
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const dir = mkdtempSync(join(tmpdir(), 'kb-fake-api-'))
  const kubeconfig = join(dir, 'kubeconfig')
  writeFileSync(kubeconfig, kubeconfigText(url))
  return {
    url, kubeconfig, requests,
    close: async () => {
      rmSync(dir, { recursive: true, force: true })
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** HTTP is spoken only where nothing is verified. With the contexts `theirs` (current) and `broken`, whose user is missing. */
export const kubeconfigText = (server: string): string => JSON.stringify({
  apiVersion: 'v1', kind: 'Config', 'current-context': 'theirs',
  clusters: [{ name: 'c', cluster: { server, 'insecure-skip-tls-verify': true } }], users: [{ name: 'visitor', user: { token: 'secret' } }],
  contexts: [{ name: 'theirs', context: { cluster: 'c', user: 'visitor' } }, { name: 'broken', context: { cluster: 'c', user: 'nobody' } }],
})
