import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { KubeConfig } from '@kubernetes/client-node'

export interface ApiAnswer { readonly status: number; readonly body: string }

/** Plain requests of the API server, for paths that the generated client has no call for. The answer's status is not judged. */
export interface Api {
  get(path: string): Promise<ApiAnswer>
  send(method: string, path: string, body: object, contentType?: string): Promise<ApiAnswer>
}

const timeout = 15_000

/** Opens the API server that a kubeconfig names, with its client certificate. Idle connections don't keep the process alive. */
export function openApi(kubeconfig: string): Api {
  const config = new KubeConfig()
  config.loadFromString(readFileSync(kubeconfig, 'utf8'))
  const [cluster, user] = [config.getCurrentCluster(), config.getCurrentUser()]
  const decode = (text: string | undefined): Buffer => Buffer.from(text ?? '', 'base64')
  const agent = new Agent({ keepAlive: true, maxSockets: 4, ca: decode(cluster?.caData), cert: decode(user?.certData), key: decode(user?.keyData) })
  const call = (method: string, path: string, body?: object, contentType = 'application/json'): Promise<ApiAnswer> => new Promise((resolve, reject) => {
    const headers = { accept: 'application/json', ...(body ? { 'content-type': contentType } : {}) }
    const sent = request(new URL(path, cluster?.server), { method, agent, timeout, headers }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk)).on('end', () => resolve({ status: answer.statusCode ?? 0, body: text })).on('error', reject)
    })
    sent.on('timeout', () => sent.destroy(new Error(`no answer from the API server to ${method} ${path} in ${timeout / 1000} s`))).on('error', reject)
    sent.end(body === undefined ? undefined : JSON.stringify(body))
  })
  return { get: (path) => call('GET', path), send: call }
}
