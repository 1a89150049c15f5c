import { request as httpRequest } from 'node:http'
import { request as httpsRequest, type RequestOptions } from 'node:https'
import { createInterface } from 'node:readline'
import { KernelbedError } from '../../core/errors.ts'
import { messageOf, type ClusterAccess } from './access.ts'
import { podContainer } from './pod-places.ts'

/** No connection that is idle for longer is believed: the caller opens another one. */
const IDLE_MS = 5 * 60_000

/**
 * Hands on the lines of a pod's log, from its beginning or from `since`, until the server ends it or the signal is aborted. Throws when it cannot be had; a connection that breaks
 * is an end. (The client's own Log has no listener for errors of the stream: a broken one would end this process.)
 */
export async function followLog({ config, server, namespace }: ClusterAccess, pod: string, options: { readonly since?: Date; readonly follow: boolean; readonly signal: AbortSignal }, onLine: (line: string) => void): Promise<void> {
  const { since, follow, signal } = options
  const url = new URL(`${server.replace(/\/$/, '')}/api/v1/namespaces/${namespace}/pods/${pod}/log`)
  url.searchParams.set('container', podContainer)
  if (follow) url.searchParams.set('follow', 'true')
  if (since) url.searchParams.set('sinceTime', since.toISOString())
  const access: RequestOptions = {}
  await config.applyToHTTPSOptions(access)
  await new Promise<void>((resolve, reject) => {
    const sent = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, { ...access, signal, timeout: IDLE_MS }, (answer) => {
      answer.on('error', () => resolve())
      if (answer.statusCode !== 200) {
        answer.resume()
        return reject(new KernelbedError(`the API server answered ${answer.statusCode} to the log of pod ${pod}`, { blame: 'cluster' }))
      }
      createInterface({ input: answer }).on('line', onLine).on('error', () => resolve()).on('close', () => resolve())
    })
    sent.on('timeout', () => sent.destroy())
    sent.on('error', (cause) => (signal.aborted ? resolve() : reject(new Error(messageOf(cause), { cause }))))
    sent.end()
  })
}
