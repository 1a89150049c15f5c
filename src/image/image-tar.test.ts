import { createHash } from 'node:crypto'
import { chmodSync, createReadStream, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { extract, type Header } from 'tar-stream'
import { afterAll, describe, expect, it } from 'vitest'
import { LineProgress } from '../core/progress.ts'
import { Registry } from '../core/registry.ts'
import type { Context } from '../core/context.ts'
import { writeImageTar, type ImageSpec } from './image-tar.ts'

const dir = mkdtempSync(join(tmpdir(), 'kernelbed-tar-'))
afterAll(() => rmSync(dir, { recursive: true }))
const ctx: Context = { registry: new Registry(), progress: new LineProgress(() => undefined), dir, sockets: dir, cache: dir, signal: new AbortController().signal }

async function members(stream: Readable): Promise<{ header: Header; content: Buffer }[]> {
  const found: { header: Header; content: Buffer }[] = []
  for await (const entry of stream.pipe(extract())) {
    const chunks: Buffer[] = []
    for await (const chunk of entry) chunks.push(chunk as Buffer)
    found.push({ header: entry.header, content: Buffer.concat(chunks) })
  }
  return found
}

const rootfs = join(dir, 'rootfs')
mkdirSync(join(rootfs, 'bin'), { recursive: true })
writeFileSync(join(rootfs, 'bin/tool'), 'x')
chmodSync(join(rootfs, 'bin/tool'), 0o755)
symlinkSync('tool', join(rootfs, 'bin/alias'))
writeFileSync(join(rootfs, 'big'), Buffer.alloc(5 * 2 ** 20, 7))

const spec: ImageSpec = {
  ref: 'kernelbed.local/x:1',
  rootfs,
  files: [{ path: '/etc/deep/conf', content: 'a=1' }, { path: '/bin/link', link: '/bin/tool' }, { path: '/copy', from: join(rootfs, 'bin/tool') }],
  entrypoint: ['/bin/tool'],
  env: { A: 'b' },
}

describe('a container image tar', () => {
  it('is what docker save makes: manifest, config, one layer whose digest the config names', async () => {
    const tar = await writeImageTar(spec, join(dir, 'a.tar'), ctx)
    const [manifest, config, layer] = await members(createReadStream(tar.path))
    const [entry] = JSON.parse(String(manifest?.content)) as [{ Config: string; RepoTags: string[]; Layers: string[] }]
    expect(entry).toEqual({ Config: config?.header.name, RepoTags: ['kernelbed.local/x:1'], Layers: [layer?.header.name] })
    const digest = createHash('sha256').update(layer?.content ?? '').digest('hex')
    expect(JSON.parse(String(config?.content))).toMatchObject({ rootfs: { diff_ids: [`sha256:${digest}`] }, config: { Entrypoint: ['/bin/tool'], Env: [expect.stringMatching(/^PATH=/), 'A=b'] as unknown }, architecture: 'amd64' })
  })

  it('holds the root file system and the files, sorted, owned by root, with folders above', async () => {
    const tar = await writeImageTar(spec, join(dir, 'b.tar'), ctx)
    const outer = await members(createReadStream(tar.path))
    const layer = await members(Readable.from([outer[2]?.content ?? Buffer.alloc(0)]))
    expect(layer.map(({ header }) => header.name)).toEqual(['big', 'bin/', 'bin/alias', 'bin/link', 'bin/tool', 'copy', 'etc/', 'etc/deep/', 'etc/deep/conf'])
    for (const { header } of layer) expect(header).toMatchObject({ uid: 0, gid: 0, mtime: new Date(0) })
    expect(layer.find(({ header }) => header.name === 'bin/tool')?.header.mode).toBe(0o755)
    expect(layer.find(({ header }) => header.name === 'bin/alias')?.header).toMatchObject({ type: 'symlink', linkname: 'tool' })
    expect(layer[0]?.content.length).toBe(5 * 2 ** 20)
  })

  it('is the same for the same input', async () => {
    await writeImageTar(spec, join(dir, 'c.tar'), ctx)
    await writeImageTar(spec, join(dir, 'd.tar'), ctx)
    expect(readFileSync(join(dir, 'c.tar')).equals(readFileSync(join(dir, 'd.tar')))).toBe(true)
  })

  it('of a file that is not there says which', async () => {
    await expect(writeImageTar({ ...spec, files: [{ path: '/x', from: '/no/such' }] }, join(dir, 'e.tar'), ctx)).rejects.toThrow('image file /no/such (for /x) is not there')
  })
})
