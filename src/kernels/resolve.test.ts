import { createServer, type Socket } from 'node:net'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { CatalogueKernel, KernelSource } from './catalogue.ts'
import { resolveFromSources } from './resolve.ts'
import { packKernel, testContext, writeChecksums } from './test-mirror.ts'

let made: ReturnType<typeof testContext>
beforeEach(() => (made = testContext()))
afterEach(() => {
  vi.unstubAllEnvs()
  made.end()
})

const line = (...sources: KernelSource[]): CatalogueKernel => ({ name: '4.9', sources, config: [], agent: 'works' })
const mirror: KernelSource = { from: 'mirror' }

describe('the sources of a line', () => {
  it('that all fail are told in one error, with what to do', async () => {
    vi.stubEnv('KERNELBED_MIRROR', '')
    await expect(resolveFromSources(line(mirror), {}, made.ctx)).rejects.toMatchObject({
      message: 'kernel 4.9 is not to be had here',
      details: 'KERNELBED_MIRROR: not set',
      hint: 'pass one by path (--kernel 4.9=FILE: a bzImage, vmlinux, .deb or the folder of a build), or set KERNELBED_MIRROR to a folder or URL that has v4.9.N/amd64/',
      exitCode: 3,
    })
  })

  it('are told of in seconds when one accepts connections and stays silent', async () => {
    const sockets: Socket[] = []
    const server = createServer((socket) => sockets.push(socket))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    vi.stubEnv('KERNELBED_MIRROR', `http://127.0.0.1:${(server.address() as { port: number }).port}`)
    const start = performance.now()
    await expect(resolveFromSources(line(mirror), {}, made.ctx)).rejects.toMatchObject({ details: expect.stringMatching(/^KERNELBED_MIRROR: cannot read .*: no answer in 6 s$/) as unknown })
    expect(performance.now() - start).toBeLessThan(20_000)
    sockets.forEach((socket) => socket.destroy())
    server.close()
  })

  it('are tried in order, as long as one only lacks the kernel', async () => {
    const root = join(made.ctx.dir, 'mirror')
    mkdirSync(root)
    vi.stubEnv('KERNELBED_MIRROR', root)
    await expect(resolveFromSources(line(mirror, mirror), {}, made.ctx)).rejects.toMatchObject({ details: expect.stringMatching(/^(KERNELBED_MIRROR: .* has no kernel 4\.9 \(.*\)\n?){2}$/) as unknown })
  })

  it('end with the first that hands out what is not to be trusted', async () => {
    const root = join(made.ctx.dir, 'mirror/v4.9.1/amd64')
    packKernel(root, '4.9.1')
    writeChecksums(root)
    vi.stubEnv('KERNELBED_MIRROR', join(made.ctx.dir, 'mirror'))
    await expect(resolveFromSources(line(mirror, mirror), {}, made.ctx)).rejects.toMatchObject({ name: 'RefusedError' })
    rmSync(root, { recursive: true })
  })
})
