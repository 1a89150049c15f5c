import { createServer, type RequestListener, type Server } from 'node:http'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { download } from './download.ts'
import { httpRead, UnreachableError } from './http.ts'

let server: Server | undefined

async function serve(answer: RequestListener): Promise<string> {
  const started = (server = createServer(answer))
  await new Promise<void>((resolve) => started.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(started.address() as { port: number }).port}/x`
}

afterEach(() => {
  server?.closeAllConnections()
  server?.close()

})

const signal = new AbortController().signal
const read = (url: string, silenceMs = 5000): Promise<Buffer | undefined> => httpRead(url, { signal, silenceMs, maxBytes: 100 })

it('a small file is read whole; one that is not there is undefined', async () => {
  expect(await read(await serve((_, response) => response.end('text')))).toEqual(Buffer.from('text'))
  server?.close()
  expect(await read(await serve((_, response) => response.writeHead(404).end('not here')))).toBeUndefined()
})

it('a server that accepts and stays silent is out of reach, soon', async () => {
  const url = await serve(() => undefined)
  const start = performance.now()
  await expect(read(url, 200)).rejects.toThrow(new UnreachableError(url, 'no answer in 0.2 s'))
  expect(performance.now() - start).toBeLessThan(3000)
})

it('so is one that falls silent in the middle, that sends too much, or fails', async () => {
  await expect(read(await serve((_, response) => response.write('some')), 200)).rejects.toThrow('no answer in 0.2 s')
  server?.closeAllConnections()
  await expect(read(await serve((_, response) => response.end('x'.repeat(200))))).rejects.toThrow('more than 100 bytes')
  await expect(read(await serve((_, response) => response.writeHead(502).end()))).rejects.toThrow('HTTP 502')
})

it('nothing that listens is told by its reason', async () => {
  const url = await serve(() => undefined)
  await new Promise((resolve) => server?.close(resolve))
  await expect(read(url)).rejects.toThrow(/cannot read .*ECONNREFUSED/)
})

it('a connection that was kept and then closed is made again', async () => {
  let requests = 0
  const url = await serve((request, response) => {
    if (++requests === 2) request.socket.destroy()
    else response.end('text')
  })
  await read(url)
  expect(await read(url)).toEqual(Buffer.from('text'))
})

it('a download that is stopped leaves what has come', async () => {
  const part = join(mkdtempSync(join(tmpdir(), 'kb-http-part-')), 'part')
  const stop = new AbortController()
  const url = await serve((_, response) => {
    response.writeHead(200, { 'content-length': 1000 })
    response.write('x'.repeat(400))
  })
  await expect(download(url, part, { signal: stop.signal, onProgress: (done) => done === 400 && stop.abort() })).rejects.toThrow()
  expect(readFileSync(part)).toHaveLength(400)
  rmSync(join(part, '..'), { recursive: true })
})

it('a server that fails for a moment is asked again', async () => {
  const part = join(mkdtempSync(join(tmpdir(), 'kb-http-part-')), 'part')
  let requests = 0
  const url = await serve((_, response) => {
    response.writeHead(++requests < 3 ? 503 : 200).end('whole')
  })
  await download(url, part, { signal, pauseMs: 1 })
  expect(readFileSync(part, 'utf8')).toBe('whole')
  rmSync(join(part, '..'), { recursive: true })
})
