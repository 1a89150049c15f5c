import { createReadStream, createWriteStream, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { pack } from 'tar-stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Context } from '../core/context.ts'
import { LineProgress } from '../core/progress.ts'
import { Registry } from '../core/registry.ts'
import { fullRef, readGivenTar } from './given-tar.ts'
import { writeImageTar } from './image-tar.ts'

const dir = mkdtempSync(join(tmpdir(), 'kb-given-'))
const ctx: Context = { registry: new Registry(), progress: new LineProgress(() => undefined), dir, sockets: dir, cache: dir, signal: new AbortController().signal }
const saved = join(dir, 'saved.tar')

beforeAll(async () => {
  await writeImageTar({ ref: 'cilium/cilium:v1.2.5', entrypoint: ['/x'], files: [{ path: '/x', content: 'x'.repeat(3 << 20) }] }, saved, ctx)
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** A tar of these members. */
async function tar(name: string, members: Readonly<Record<string, string | object>>): Promise<string> {
  const packed = pack()
  for (const [path, content] of Object.entries(members)) packed.entry({ name: path }, typeof content === 'string' ? content : JSON.stringify(content))
  packed.finalize()
  await pipeline(packed, createWriteStream(join(dir, name)))
  return join(dir, name)
}

const config = (architecture: string, labels: object = {}): object => ({ architecture, os: 'linux', config: { Labels: labels } })
const oci = (annotations: object, architecture = 'amd64'): Record<string, string | object> => ({
  'oci-layout': { imageLayoutVersion: '1.0.0' }, 'index.json': { manifests: [{ digest: 'sha256:m', annotations }] },
  'blobs/sha256/m': { config: { digest: 'sha256:c' }, layers: [] }, 'blobs/sha256/c': config(architecture, { 'org.opencontainers.image.version': '1.14.2' }),
})

describe('a tar of docker save', () => {
  it('tells its names in full', async () => expect(await readGivenTar(saved, ctx)).toMatchObject({ ref: 'docker.io/cilium/cilium:v1.2.5', path: saved, images: [{ refs: ['docker.io/cilium/cilium:v1.2.5'] }] }))

  it('may be compressed', async () => {
    const zipped = join(dir, 'saved.tar.gz')
    await pipeline(createReadStream(saved), createGzip(), createWriteStream(zipped))
    const read = await readGivenTar(zipped, ctx)
    expect(read.ref).toBe('docker.io/cilium/cilium:v1.2.5')
    expect(readFileSync(read.path).equals(readFileSync(saved))).toBe(true)
  })
})

describe('an OCI layout', () => {
  it('tells its name and labels', async () => {
    expect((await readGivenTar(await tar('oci.tar', oci({ 'io.containerd.image.name': 'registry.example/cilium/cilium:v1.14.2' })), ctx)).images)
      .toEqual([{ refs: ['registry.example/cilium/cilium:v1.14.2'], labels: { 'org.opencontainers.image.version': '1.14.2' } }])
  })

  it('of newer docker save has its names in manifest.json', async () => {
    const both = { ...oci({ 'org.opencontainers.image.ref.name': 'v1.14.2' }), 'manifest.json': [{ Config: 'blobs/sha256/c', RepoTags: ['registry.example/cilium/cilium:v1.14.2'], Layers: [] }] }
    expect((await readGivenTar(await tar('both.tar', both), ctx)).ref).toBe('registry.example/cilium/cilium:v1.14.2')
  })

  it('for several machines must have one for ours', async () => {
    const index = (...architectures: string[]) => ({ ...oci({ 'io.containerd.image.name': 'a/b:1' }), 'index.json': { manifests: [{ digest: 'sha256:i', annotations: { 'io.containerd.image.name': 'a/b:1' } }] }, 'blobs/sha256/i': { manifests: architectures.map((architecture) => ({ digest: 'sha256:m', platform: { os: 'linux', architecture } })) } })
    expect((await readGivenTar(await tar('many.tar', index('arm64', 'amd64')), ctx)).ref).toBe('docker.io/a/b:1')
    await expect(readGivenTar(await tar('others.tar', index('arm64', 's390x')), ctx)).rejects.toThrow('is for linux/arm64, linux/s390x, the machines are linux/amd64')
  })
})

describe('what is wrong with a file is said', () => {
  it.each<[string, () => Promise<string> | string, RegExp]>([
    ['not there', () => join(dir, 'no.tar'), /no\.tar: there is no such file/],
    ['a folder', () => dir, /is a folder$/],
    ['empty', () => { writeFileSync(join(dir, 'empty.tar'), ''); return join(dir, 'empty.tar') }, /is empty$/],
    ['text', () => { writeFileSync(join(dir, 'text.tar'), 'apiVersion: v1\n'.repeat(200)); return join(dir, 'text.tar') }, /is no tar file$/],
    ['files of a container', () => tar('export.tar', { 'bin/sh': 'x', 'etc/passwd': 'x' }), /is a tar, but not of an image: it has neither manifest\.json nor index\.json; it begins with bin\/sh, etc\/passwd/],
    ['for another machine', () => tar('arm.tar', { 'manifest.json': [{ Config: 'c.json', RepoTags: ['a/b:1'], Layers: [] }], 'c.json': config('arm64') }), /is for linux\/arm64, the machines are linux\/amd64/],
    ['without a name', () => tar('anon.tar', { 'manifest.json': [{ Config: 'c.json', RepoTags: null, Layers: [] }], 'c.json': config('amd64') }), /the image in it has no name/],
    ['without its configuration', () => tar('half.tar', { 'manifest.json': [{ Config: 'c.json', RepoTags: ['a/b:1'], Layers: [] }] }), /is not whole: it has no c\.json/],
    ['some other manifest', () => tar('web.tar', { 'manifest.json': { name: 'a web app' } }), /manifest\.json is not that of an image:/],
  ])('%s', async (_what, make, message) => {
    await expect(readGivenTar(await make(), ctx)).rejects.toMatchObject({ blame: 'usage', message: expect.stringMatching(message) as string })
  })

  it('cut short', async () => {
    const cut = join(dir, 'cut.tar')
    writeFileSync(cut, readFileSync(saved))
    truncateSync(cut, 2 << 20)
    await expect(readGivenTar(cut, ctx)).rejects.toMatchObject({ blame: 'usage', message: expect.stringMatching(/is (damaged or )?cut short/) as string })
  })
})

it.each([
  ['busybox', 'docker.io/library/busybox:latest'], ['cilium/cilium:v1.2.5', 'docker.io/cilium/cilium:v1.2.5'], ['registry.example/cilium/cilium:v1.14.1@sha256:abc', 'registry.example/cilium/cilium:v1.14.1'],
  ['localhost:5000/x:1', 'localhost:5000/x:1'], ['registry.example/a/b@sha256:abc', 'registry.example/a/b@sha256:abc'],
])('the full name of %s is %s', (ref, full) => expect(fullRef(ref)).toBe(full))
