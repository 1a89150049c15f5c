import type { IncomingMessage } from 'node:http'

/** Of one connection only (RFC 7230, 6.1); those that Connection names are too. Trailer stays: trailers are passed on. */
const hopByHop = new Set(['connection', 'keep-alive', 'proxy-connection', 'te', 'transfer-encoding', 'upgrade', 'proxy-authenticate', 'proxy-authorization', 'expect', 'http2-settings'])

/** `[name, value]` of headers as they came. */
export function* pairs(raw: readonly string[]): Generator<[name: string, value: string]> {
  for (let i = 0; i + 1 < raw.length; i += 2) yield [raw[i]!, raw[i + 1]!]
}

export const valuesOf = (raw: readonly string[], wanted: string): string[] => [...pairs(raw)].filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value)

/** What is passed on, in the order and case in which it came. */
export function endToEnd(raw: readonly string[]): string[] {
  const named = new Set(valuesOf(raw, 'connection').flatMap((value) => value.split(',')).map((name) => name.trim().toLowerCase()))
  // What frames the body is not to be taken away by anybody's Connection header.
  for (const name of ['content-length', 'host']) named.delete(name)
  return [...pairs(raw)].filter(([name]) => !hopByHop.has(name.toLowerCase()) && !named.has(name.toLowerCase())).flat()
}

/** Whether a message has a body, and how its end is told. */
export type Framing = { kind: 'none' } | { kind: 'length'; length: string } | { kind: 'chunked' }
export interface Target { host: string; path: string }

/** A request that two programs might read differently; its text is the reason. */
export class BadRequest extends Error {}

/**
 * What the parser (llhttp, strict) leaves to us: exactly one Host, one kind of framing, one encoding, and a target that is a path. Throws BadRequest.
 */
export function checkRequest(request: IncomingMessage): Framing & Target {
  const { rawHeaders, httpVersion, method = '', url = '' } = request
  const [hosts, lengths, encodings] = ['host', 'content-length', 'transfer-encoding'].map((name) => valuesOf(rawHeaders, name)) as [string[], string[], string[]]
  if (httpVersion !== '1.1' && httpVersion !== '1.0') throw new BadRequest(`HTTP/${httpVersion}`)
  if (hosts.length > 1) throw new BadRequest('more than one Host')
  if (lengths.length > 1 || (lengths[0] !== undefined && !/^\d+$/.test(lengths[0]))) throw new BadRequest('Content-Length')
  if (encodings.length > 0 && (lengths.length > 0 || httpVersion === '1.0' || encodings.length > 1 || encodings[0]!.toLowerCase() !== 'chunked')) throw new BadRequest('Transfer-Encoding')
  const framing: Framing = encodings.length > 0 ? { kind: 'chunked' } : lengths[0] === undefined ? { kind: 'none' } : { kind: 'length', length: lengths[0] }
  return { ...framing, ...targetOf(method, url, hosts[0] ?? '') }
}

function targetOf(method: string, url: string, host: string): Target {
  if (url.includes('#')) throw new BadRequest('a fragment in the target')
  if (url.startsWith('/') || (url === '*' && method === 'OPTIONS')) return { host, path: url }
  const absolute = /^http:\/\/([^/?@]+)(\/.*)?$/i.exec(url)
  if (absolute === null) throw new BadRequest('the target')
  // RFC 7230, 5.4: the target's host counts, not the header's.
  return { host: absolute[1]!, path: absolute[2] ?? '/' }
}

/** The request's headers as they are sent on. */
export function requestHeaders(request: IncomingMessage, checked: Framing & Target): string[] {
  const kept = [...pairs(endToEnd(request.rawHeaders))].filter(([name]) => name.toLowerCase() !== 'host').flat()
  const bodiless = ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE'].includes(request.method ?? '')
  // A client's end must be told as it was: without either Node would frame the body of a POST by itself, and not that of a GET.
  const framing = checked.kind === 'chunked' ? ['Transfer-Encoding', 'chunked'] : checked.kind === 'none' && !bodiless ? ['Content-Length', '0'] : []
  return ['Host', checked.host, ...kept, ...framing]
}
