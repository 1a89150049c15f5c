import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { listenOn } from '../datapath/proxy.ts'
import type { ProxyOrigin } from '../datapath/types.ts'
import { createLogger } from '../log.ts'
import type { Allow } from '../policy/allow.ts'
import { L7Proxy } from './proxy.ts'
import type { L7Record } from './record.ts'

const landing = { method: 'POST', path: '/v1/request-landing' }
const peer = 300

let server: http.Server
let serverPort = 0
/** What the server has seen: method, target, headers, bytes of body. */
let seen: { method: string; url: string; headers: string[]; body: number; trailers: string[] }[] = []
let sockets = 0

beforeAll(async () => {
  server = http.createServer((request, response) => {
    let body = 0
    request.on('data', (data: Buffer) => { body += data.length })
    request.on('end', () => {
      seen.push({ method: request.method!, url: request.url!, headers: request.rawHeaders, body, trailers: request.rawTrailers })
      if (request.url === '/bye') response.setHeader('Connection', 'close')
      if (request.url === '/chunks') { response.setHeader('Trailer', 'X-Sum'); response.write('a'); response.write('b'); response.addTrailers({ 'X-Sum': '2' }) }
      response.end(request.url === '/big' ? 'x'.repeat(3_000_000) : 'landed\n')
    })
  })
  server.on('connection', () => { sockets++ })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  serverPort = (server.address() as AddressInfo).port
})
afterAll(() => { server.close(); server.closeAllConnections() })

let proxies: L7Proxy[] = []
afterEach(() => { for (const proxy of proxies) proxy.close(); proxies = []; seen = []; sockets = 0 })

/** A proxy of one endpoint on loopback; `port` is where a client comes to it. */
function start(ingress: Allow[], change: Partial<ProxyOrigin> = {}) {
  const records: L7Record[] = []
  const origin: ProxyOrigin = { ip: '127.0.0.1', port: serverPort, client: '127.0.0.1', direction: 'ingress', srcIdentity: peer, dstIdentity: 400, ...change }
  const dialled: { identity: number; direction: string }[] = []
  const proxy = new L7Proxy({
    transport: {
      listenForProxy: (port) => listenOn(undefined, port), listPolicy: () => [], proxyOrigin: () => ({ ...origin }),
      connectForProxy: (to, identity, direction) => { dialled.push({ identity, direction }); return net.connect(to.port, to.ip) },
    },
    labelsOf: (identity) => [`id:${identity}`], endpointAt: () => 5, record: (record) => void records.push(record), log: createLogger({ debug: false, write: () => undefined }),
  })
  proxies.push(proxy)
  const apply = (list: Allow[]) => { const policy = proxy.apply(6, { ingress: list }); proxy.settle(6); return policy.ingress?.[0]?.proxyPort ?? 0 }
  return { proxy, apply, port: apply(ingress), records, dialled, origin }
}

const open = (...rules: Allow['http'] & object): Allow[] => [{ identity: peer, port: 80, protocol: 'TCP', http: rules }]

/** Sends bytes as they stand; what comes back until the other end closes, or, with `until`, has said that. */
function raw(port: number, text: string, until?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const client = net.connect(port, '127.0.0.1', () => client.write(text))
    let got = ''
    client.on('data', (data) => { got += data.toString(); if (until !== undefined && got.includes(until)) { client.destroy(); resolve(got) } })
    client.on('close', () => resolve(got))
    client.on('error', (error: NodeJS.ErrnoException) => { if (error.code === 'ECONNRESET' || error.code === 'EPIPE') resolve(got); else reject(error) })
    setTimeout(() => { client.destroy(); reject(new Error(`still open after: ${got}`)) }, 20_000).unref()
  })
}

const said = async (client: net.Socket): Promise<string> => String((await once(client, 'data'))[0])

describe('a request', () => {
  it('that a rule matches goes on, and its answer comes back', async () => {
    const { port, records, dialled } = start(open(landing))
    const answer = await raw(port, 'POST /v1/request-landing HTTP/1.1\r\nHost: deathstar\r\nX-Odd:  a \r\nContent-Length: 5\r\n\r\nhello', 'landed')
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
    expect(seen).toEqual([{ method: 'POST', url: '/v1/request-landing', headers: ['Host', 'deathstar', 'X-Odd', 'a', 'Content-Length', '5', 'Connection', 'keep-alive'], body: 5, trailers: [] }])
    expect(dialled).toEqual([{ identity: peer, direction: 'ingress' }])
    expect(records.map(({ type, verdict, http: { code } }) => [type, verdict, code])).toEqual([['Request', 'Forwarded', 0], ['Response', 'Forwarded', 200]])
    expect(records[0]).toMatchObject({ observationPoint: 'Ingress', source: { id: 5, identity: 300, labels: ['id:300'] }, destination: { id: 6, identity: 400 }, http: { method: 'POST', host: 'deathstar', path: '/v1/request-landing' } })
  })

  it('that none matches is answered as Cilium does, the connection stays, and the server hears nothing', async () => {
    const { port, records, proxy } = start(open(landing))
    const put = 'PUT /v1/exhaust-port HTTP/1.1\r\nHost: deathstar\r\nContent-Length: 3\r\n\r\nabc'
    const answer = await raw(port, `${put}${put.replace('PUT', 'GET')}GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    const [first] = answer.split('HTTP/1.1 403 Forbidden\r\n').slice(1)
    expect(answer.match(/HTTP\/1\.1 403 Forbidden\r\n/g)).toHaveLength(3)
    expect(first).toMatch(/Content-Length: 15\r\n/)
    expect(first).toMatch(/\r\n\r\nAccess denied\r\n$/)
    expect(seen).toEqual([])
    expect(sockets).toBe(0)
    expect(records.every(({ verdict, http: { code } }) => verdict === 'Denied' && code === 403)).toBe(true)
    expect(proxy.statistics(6)).toEqual([{ location: 'ingress', port: 80, protocol: 'http', statistics: { requests: { received: 3, forwarded: 0, denied: 3, error: 0 }, responses: { received: 0, forwarded: 0, denied: 0, error: 0 } } }])
  })

  it('is decided on by the policy of its moment, over one connection on each side', async () => {
    const { port, apply } = start(open(landing))
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    const ask = (method: string, path: string) => new Promise<number>((resolve, reject) => http.request({ port, agent, method, path }, (response) => { response.resume(); response.on('end', () => resolve(response.statusCode!)) }).on('error', reject).end())
    expect([await ask('POST', '/v1/request-landing'), await ask('PUT', '/x')]).toEqual([200, 403])
    apply(open({ method: 'PUT' }))
    expect([await ask('POST', '/v1/request-landing'), await ask('PUT', '/x')]).toEqual([403, 200])
    apply([{ identity: peer, port: 80, protocol: 'TCP' }])
    expect([await ask('POST', '/v1/request-landing'), await ask('DELETE', '/x')]).toEqual([200, 200])
    expect(sockets).toBe(1)
    apply([])
    await expect(ask('POST', '/v1/request-landing')).rejects.toThrow(/ECONNRE|socket hang up/)
    agent.destroy()
  })

  it('of any size goes by in a stream, up and down, with its trailers', async () => {
    const { port } = start(open({}))
    const up = `POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n${'10000\r\n'.concat('y'.repeat(65536), '\r\n').repeat(40)}0\r\nX-End: 1\r\n\r\n`
    expect(await raw(port, up, 'landed')).toContain('200 OK')
    expect(seen[0]).toMatchObject({ body: 40 * 65536, trailers: ['X-End', '1'] })
    const big = await raw(port, 'GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    expect(big.length).toBeGreaterThan(3_000_000)
    expect(await raw(port, 'GET /chunks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')).toMatch(/X-Sum: 2\r\n\r\n$/)
  })

  it('reaches the server without what is of one connection only, and with its own framing', async () => {
    const { port } = start(open({}))
    await raw(port, 'GET /a HTTP/1.1\r\nHost: x\r\nConnection: X-Mine, keep-alive, Content-Length\r\nX-Mine: 1\r\nUpgrade: h2c\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n', 'landed')
    await raw(port, 'POST http://other:81/b?c HTTP/1.1\r\nHost: x\r\n\r\n', 'landed')
    expect(seen.map(({ url, headers, body }) => [url, headers, body])).toEqual([
      ['/a', ['Host', 'x', 'Transfer-Encoding', 'chunked', 'Connection', 'keep-alive'], 2],
      ['/b?c', ['Host', 'other:81', 'Content-Length', '0', 'Connection', 'keep-alive'], 0],
    ])
  })

  it('whose body waits for a word gets it once it is let through, and not when it is denied', async () => {
    const { port } = start(open({ path: '/ok' }))
    const head = (path: string) => `POST ${path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n`
    expect(await raw(port, head('/ok'), '\r\n\r\n')).toBe('HTTP/1.1 100 Continue\r\n\r\n')
    expect(await raw(port, head('/no'), 'denied\r\n')).toMatch(/^HTTP\/1\.1 403/)
  })

  it('to a server that is not there is answered 503', async () => {
    const { port, records } = start(open({}), { port: 1 })
    expect(await raw(port, 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab')).toMatch(/^HTTP\/1\.1 503 /)
    expect(records.at(-1)).toMatchObject({ type: 'Response', verdict: 'Error', http: { code: 503 } })
  })

  it('after its server has ended the connection that was kept goes by a new one', async () => {
    const { port } = start(open({}))
    const text = 'GET /bye HTTP/1.1\r\nHost: x\r\n\r\n'
    await raw(port, `${text}${text.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')}`)
    expect(seen).toHaveLength(2)
    expect(sockets).toBe(2)
  })
})

describe('what two programs could read differently is answered 400, the connection closed, the server not asked:', () => {
  const post = 'POST / HTTP/1.1\r\nHost: x\r\n'
  const hidden = 'GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n'
  it.each([
    ['both lengths', `${post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`],
    ['two different lengths', `${post}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd`],
    ['the same length twice', `${post}Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd`],
    ['a list of lengths', `${post}Content-Length: 4, 4\r\n\r\nabcd`],
    ['a signed length', `${post}Content-Length: +4\r\n\r\nabcd`],
    ['an empty length', `${post}Content-Length: \r\n\r\n${hidden}`],
    ['another encoding', `${post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
    ['an encoding that is none', `${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
    ['chunked twice', `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['an encoding in HTTP/1.0', 'POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['a blank before the colon', `${post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`],
    ['a tab in the encoding', `${post}Transfer-Encoding:\tchunked\u000b\r\n\r\n0\r\n\r\n`],
    ['lines ended by LF alone', 'POST / HTTP/1.1\nHost: x\nContent-Length: 4\n\nabcd'],
    ['one header ended by LF alone', `POST / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n`],
    ['a folded header', `${post}X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n`],
    ['a folded encoding', `${post}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`],
    ['no hexadecimal number of a chunk', `${post}Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n`],
    ['0x before a chunk\'s size', `${post}Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n`],
    ['a negative chunk', `${post}Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n`],
    ['a chunk larger than any', `${post}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n`],
    ['a chunk longer than it says', `${post}Transfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n`],
    ['a chunk\'s line ended by LF alone', `${post}Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n`],
    ['two hosts', 'GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n'],
    ['no host', 'GET / HTTP/1.1\r\nX: y\r\n\r\n'],
    ['a NUL in a header', 'GET / HTTP/1.1\r\nHost: x\r\nX: a\u0000b\r\n\r\n'],
    ['a fragment', 'GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['another scheme', 'GET ftp://x/a HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['a tunnel', 'CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['headers without end', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`],
    ['a blank in the target', 'GET /a b HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['what is no HTTP', '\u0016\u0003\u0001\u0002\u0000'],
  ])('%s', async (_, text) => {
    const { port } = start(open({}))
    const answer = await raw(port, text)
    // A body that breaks off after its head was let through ends both connections instead.
    expect(answer).toMatch(/^(HTTP\/1\.1 400 Bad Request\r\n[^]*)?$/)
    expect(seen).toEqual([])
  })

  it('and the head of such a message is never taken for an answer', async () => {
    const { port } = start(open({}))
    expect(await raw(port, `${post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n`)).toMatch(/^HTTP\/1\.1 400 Bad Request\r\nConnection: close\r\n/)
  })
})

it('a POST without a body is nothing odd', async () => {
  const { port } = start(open({}))
  expect(await raw(port, 'POST / HTTP/1.1\r\nHost: x\r\nX: y\r\n\r\n', 'landed')).toMatch(/^HTTP\/1\.1 200/)
})

it('a redirect that is wanted no more ends with its last connection, and its port is another\'s then', async () => {
  const { proxy, apply, port } = start(open({}))
  const client = net.connect(port, '127.0.0.1')
  client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(client, 'data')
  expect(apply([{ identity: peer, port: 80, protocol: 'TCP' }])).toBe(0)
  expect(proxy.redirects).toBe(1)
  client.write('DELETE /x HTTP/1.1\r\nHost: x\r\n\r\n')
  expect(await said(client)).toMatch(/^HTTP\/1\.1 200/)
  client.destroy()
  await expect.poll(() => { proxy.settle(6); return proxy.redirects }).toBe(0)
  expect(apply(open({}))).not.toBe(port)
})

it('a redirect that can\'t be made is told, and what it is for is denied; all else is as asked for', () => {
  const plain: Allow = { identity: 301, port: 81, protocol: 'TCP' }
  let taken = true
  const proxy = new L7Proxy({
    transport: { listenForProxy: (port) => { if (taken) throw new Error('EADDRINUSE'); return listenOn(undefined, port) }, listPolicy: () => [], proxyOrigin: () => undefined, connectForProxy: () => new net.Socket() },
    labelsOf: () => [], endpointAt: () => 0, record: () => undefined, log: createLogger({ debug: false, write: () => undefined }),
  })
  proxies.push(proxy)
  const why = 'requests to ingress port 80 of endpoint 6 are denied: no port for the proxy among 10000-20000 (EADDRINUSE): end what listens there on this node'
  expect(proxy.apply(6, { ingress: [...open(landing), plain] })).toEqual({ ingress: [plain], refused: why })
  expect(proxy.failure).toBe(why)
  expect(proxy.apply(6, { ingress: [plain] })).toEqual({ ingress: [plain] })
  expect(proxy.failure).toBeUndefined()
  proxy.apply(6, { ingress: open(landing) })
  taken = false
  expect(proxy.apply(6, { ingress: open(landing) })).toEqual({ ingress: [{ identity: peer, port: 80, protocol: 'TCP', proxyPort: expect.any(Number) as number }] })
  expect(proxy.failure).toBeUndefined()
})

it('a client whose identity has changed is asked of policy, and of the server, by the new one', async () => {
  const { port, origin, dialled } = start([...open({}), { identity: 301, port: 80, protocol: 'TCP', http: [{ path: '/ok' }] }])
  const client = net.connect(port, '127.0.0.1')
  const ask = async (path: string): Promise<string> => { client.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`); return (await said(client)).slice(9, 12) }
  expect(await ask('/any')).toBe('200')
  origin.srcIdentity = 301
  expect([await ask('/any'), await ask('/ok')]).toEqual(['403', '200'])
  expect(dialled.map(({ identity }) => identity)).toEqual([300, 301])
  client.destroy()
})
