import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream, lstatSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { pack, type Pack } from 'tar-stream'
import { sha256File } from '../core/cache.ts'
import { KernelbedError } from '../core/errors.ts'
import type { Context } from '../core/context.ts'
import type { ImageTar } from './types.ts'

/** A file put into an image: text or bytes, a copy of a file of this host, or a link. */
export type ImageFile = { readonly path: string; readonly mode?: number } & (
  | { readonly content: string | Buffer }
  | { readonly from: string }
  | { readonly link: string }
)

export interface ImageSpec {
  /** Full reference with a tag, e.g. `kernelbed.local/lash:dev`. */
  readonly ref: string
  /** Folder copied whole to `/`; owners are ignored (all root), modes kept, devices and sockets left out. */
  readonly rootfs?: string
  /** Put over the root file system; absolute paths, folders above are made. */
  readonly files?: readonly ImageFile[]
  readonly entrypoint: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly workingDir?: string
}

/**
 * Writes a container image of one uncompressed layer as the tar of `docker save`, which `ctr -n k8s.io images import` takes. The same input gives the same
 * bytes: members sorted, owned by root, from 1970. Throws KernelbedError when a file to be copied isn't there.
 */
export async function writeImageTar(spec: ImageSpec, outFile: string, ctx: Context): Promise<ImageTar> {
  const layer = `${outFile}.layer`
  const members = layerMembers(spec)
  try {
    await writeTar(layer, ctx, (tar) => addLayer(tar, members))
    const layerDigest = await sha256File(layer)
    const config = JSON.stringify(imageConfig(spec, layerDigest))
    const configName = `${createHash('sha256').update(config).digest('hex')}.json`
    const manifest = JSON.stringify([{ Config: configName, RepoTags: [spec.ref], Layers: [`${layerDigest}/layer.tar`] }])
    await writeTar(outFile, ctx, async (tar) => {
      await addBytes(tar, { name: 'manifest.json', mode: 0o644 }, Buffer.from(manifest))
      await addBytes(tar, { name: configName, mode: 0o644 }, Buffer.from(config))
      await addFile(tar, { name: `${layerDigest}/layer.tar`, mode: 0o644 }, layer)
    })
  } finally {
    rmSync(layer, { force: true })
  }
  return { ref: spec.ref, path: outFile, digest: await sha256File(outFile) }
}

/** OCI image configuration (opencontainers/image-spec config.md). */
function imageConfig(spec: ImageSpec, layerDigest: string): object {
  const env = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...spec.env }
  return {
    created: '1970-01-01T00:00:00Z',
    architecture: 'amd64',
    os: 'linux',
    config: { Env: Object.entries(env).map(([name, value]) => `${name}=${value}`), Entrypoint: spec.entrypoint, WorkingDir: spec.workingDir ?? '/' },
    rootfs: { type: 'layers', diff_ids: [`sha256:${layerDigest}`] },
    history: [{ created: '1970-01-01T00:00:00Z', created_by: 'kernelbed' }],
  }
}

type Member =
  | { readonly name: string; readonly mode: number; readonly type: 'directory' }
  | { readonly name: string; readonly mode: number; readonly type: 'symlink'; readonly linkname: string }
  | { readonly name: string; readonly mode: number; readonly type: 'file'; readonly content: Buffer | { readonly from: string } }

/** Everything in the layer by path, sorted; what `files` says wins over the root file system, and folders above a member are always there. */
function layerMembers(spec: ImageSpec): Member[] {
  const members = new Map<string, Member>()
  if (spec.rootfs !== undefined) collect(spec.rootfs, '', members)
  for (const file of spec.files ?? []) {
    const name = file.path.replace(/^\/+/, '')
    for (let slash = name.indexOf('/'); slash !== -1; slash = name.indexOf('/', slash + 1)) {
      const folder = name.slice(0, slash)
      if (!members.has(folder)) members.set(folder, { name: folder, mode: 0o755, type: 'directory' })
    }
    members.set(name, memberOf(name, file))
  }
  return [...members.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

function memberOf(name: string, file: ImageFile): Member {
  if ('link' in file) return { name, mode: 0o777, type: 'symlink', linkname: file.link }
  if ('content' in file) return { name, mode: file.mode ?? 0o644, type: 'file', content: Buffer.from(file.content) }
  const stat = statSync(file.from, { throwIfNoEntry: false })
  if (!stat?.isFile()) throw new KernelbedError(`image file ${file.from} (for ${file.path}) is not there`, { blame: 'host', hint: 'run the step that makes it first' })
  return { name, mode: file.mode ?? stat.mode & 0o7777, type: 'file', content: { from: file.from } }
}

function collect(root: string, folder: string, into: Map<string, Member>): void {
  for (const entry of readdirSync(join(root, folder))) {
    const name = folder === '' ? entry : `${folder}/${entry}`
    const path = join(root, name)
    const stat = lstatSync(path)
    const mode = stat.mode & 0o7777
    if (stat.isDirectory()) {
      into.set(name, { name, mode, type: 'directory' })
      collect(root, name, into)
    } else if (stat.isSymbolicLink()) into.set(name, { name, mode: 0o777, type: 'symlink', linkname: readlinkSync(path) })
    else if (stat.isFile()) into.set(name, { name, mode, type: 'file', content: { from: path } })
  }
}

async function addLayer(tar: Pack, members: readonly Member[]): Promise<void> {
  for (const member of members) {
    const { name, mode } = member
    if (member.type === 'directory') await addBytes(tar, { name: `${name}/`, mode, type: 'directory' })
    else if (member.type === 'symlink') await addBytes(tar, { name, mode, type: 'symlink', linkname: member.linkname })
    else if (Buffer.isBuffer(member.content)) await addBytes(tar, { name, mode }, member.content)
    else await addFile(tar, { name, mode }, member.content.from)
  }
}

interface TarHeader { readonly name: string; readonly mode: number; readonly type?: 'directory' | 'symlink'; readonly linkname?: string }

const fixed = { uid: 0, gid: 0, uname: 'root', gname: 'root', mtime: new Date(0) } as const

const addBytes = (tar: Pack, header: TarHeader, content?: Buffer): Promise<void> =>
  new Promise((resolve, reject) => {
    const done = (error?: Error | null): void => (error ? reject(error) : resolve())
    if (content === undefined) tar.entry({ ...fixed, ...header }, done)
    else tar.entry({ ...fixed, ...header, size: content.length }, content, done)
  })

/** Small files are read at once: a stream for each of a thousand costs more than the copying. */
async function addFile(tar: Pack, header: TarHeader, path: string): Promise<void> {
  const { size } = statSync(path)
  if (size < 4 * 2 ** 20) return addBytes(tar, header, readFileSync(path))
  const entry = tar.entry({ ...fixed, ...header, size })
  // A run that is stopped destroys the tar and with it the member being written, whose error nobody else would hear; the tar's own is thrown.
  entry.on('error', () => undefined)
  await pipeline(createReadStream(path, { highWaterMark: 2 ** 20 }), entry)
}

async function writeTar(path: string, ctx: Context, fill: (tar: Pack) => Promise<void>): Promise<void> {
  const tar = pack()
  const written = pipeline(tar, createWriteStream(path), { signal: ctx.signal })
  const filled = fill(tar).then(() => tar.finalize(), (error: unknown) => {
    tar.destroy(error instanceof Error ? error : new Error(String(error)))
    throw error
  })
  const [fillResult, writeResult] = await Promise.allSettled([filled, written])
  if (fillResult.status === 'rejected') throw fillResult.reason
  if (writeResult.status === 'rejected') throw writeResult.reason
}
