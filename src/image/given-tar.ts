import { createReadStream, createWriteStream, existsSync, openSync, readSync, closeSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { extract } from 'tar-stream'
import { z } from 'zod'
import { cached, sha256File } from '../core/cache.ts'
import type { Context } from '../core/context.ts'
import { usageError, type KernelbedError } from '../core/errors.ts'
import type { ImageTar } from './types.ts'

/** A container image in somebody's tar. */
export interface GivenImage {
  /** Full references, `docker.io/cilium/cilium:v1.2.5`; none where the tar does not say. */
  readonly refs: readonly string[]
  readonly labels: Readonly<Record<string, string>>
}

/** A tar that was given, as `ctr images import` takes it. */
export interface GivenTar extends ImageTar { readonly images: readonly GivenImage[] }

const howTo = 'make one with: docker save NAME:TAG -o image.tar (or skopeo copy docker://NAME:TAG docker-archive:image.tar:NAME:TAG)'

/** JSON members of image tars are small; layers are not read. */
const largestJson = 1 << 20

const descriptor = z.looseObject({ mediaType: z.string().optional(), digest: z.string(), platform: z.looseObject({ architecture: z.string(), os: z.string() }).optional(), annotations: z.record(z.string(), z.string()).optional() })
const dockerManifest = z.array(z.looseObject({ Config: z.string(), RepoTags: z.array(z.string()).nullish(), Layers: z.array(z.string()) })).min(1)
const ociIndex = z.looseObject({ manifests: z.array(descriptor).min(1) })
const ociManifest = z.looseObject({ config: descriptor })
const imageConfig = z.looseObject({ architecture: z.string(), os: z.string(), config: z.looseObject({ Labels: z.record(z.string(), z.string()).nullish() }).nullish() })

/**
 * `busybox` → `docker.io/library/busybox:latest`, as containerd names images; a digest beside a tag is left out, as images in tars are known by their tags.
 */
export function fullRef(ref: string): string {
  const [name = '', digest] = ref.split('@')
  const slash = name.lastIndexOf('/')
  const tagged = name.slice(slash + 1).includes(':')
  const [first = '', ...rest] = name.split('/')
  const full = rest.length === 0 ? `docker.io/library/${name}` : first.includes('.') || first.includes(':') || first === 'localhost' ? name : `docker.io/${name}`
  return tagged ? full : digest === undefined ? `${full}:latest` : `${full}@${digest}`
}

/**
 * Reads what images a tar holds (docker save, or an OCI layout; gzip too), and checks that they are for linux/amd64. Throws a usage error that says what is wrong with the file. A
 * tar that is compressed is unpacked into the cache.
 */
export async function readGivenTar(path: string, ctx: Context): Promise<GivenTar> {
  checkGivenTar(path)
  const digest = await sha256File(path)
  const plain = isGzip(path) ? await unzipped(path, digest, ctx) : path
  const { names, json } = await members(plain, path)
  const images = json.has('index.json') ? fromIndex(path, json) : json.has('manifest.json') ? fromDocker(path, json) : noImage(path, names)
  const ref = images.flatMap(({ refs }) => refs)[0]
  if (ref === undefined) throw usageError(`--agent-image ${path}: the image in it has no name`, `save it by its name and tag, not by its id; ${howTo}`)
  return { ref, path: plain, digest, images }
}

/** That there is a file at all. Throws a usage error. */
export function checkGivenTar(path: string): void {
  if (!existsSync(path)) throw usageError(`--agent-image ${path}: there is no such file`, howTo)
  if (!statSync(path).isFile()) throw usageError(`--agent-image ${path} is a folder`, `give the tar of an image; ${howTo}`)
}

function isGzip(path: string): boolean {
  const head = Buffer.alloc(2)
  const file = openSync(path, 'r')
  readSync(file, head, 0, 2, 0)
  closeSync(file)
  return head.readUInt16BE(0) === 0x1f8b
}

async function unzipped(path: string, digest: string, ctx: Context): Promise<string> {
  const dir = await cached(ctx, 'images', `given-${digest.slice(0, 16)}`, async (entry) => {
    await pipeline(createReadStream(path), createGunzip(), createWriteStream(join(entry, 'image.tar')), { signal: ctx.signal }).catch((cause: unknown) => {
      throw ctx.signal.aborted ? cause : usageError(`--agent-image ${path} is damaged or cut short: ${messageOf(cause)}`, 'copy or save it again')
    })
  })
  return join(dir, 'image.tar')
}

/** Names of the first members, and the text of those that are JSON. */
async function members(plain: string, path: string): Promise<{ names: string[]; json: Map<string, string> }> {
  const names: string[] = []
  const json = new Map<string, string>()
  const { size } = statSync(plain)
  let seen = 0
  const tar = createReadStream(plain, { highWaterMark: 1 << 20 }).pipe(extract())
  try {
    for await (const entry of tar) {
      const name = entry.header.name.replace(/^\.\//, '')
      if (names.length < 8) names.push(name)
      const length = entry.header.size ?? 0
      seen += length
      if (length > 0 && length <= largestJson && entry.header.type === 'file') {
        const chunks: Buffer[] = []
        for await (const chunk of entry) chunks.push(chunk as Buffer)
        const text = Buffer.concat(chunks).toString('utf8')
        if (/^\s*[[{]/.test(text)) json.set(name, text)
      } else entry.resume()
    }
  } catch (cause) {
    throw names.length ? usageError(`--agent-image ${path} is damaged or cut short after ${names.at(-1)}: ${messageOf(cause)}`, 'copy or save it again') : usageError(`--agent-image ${path} is no tar file`, howTo)
  }
  if (names.length === 0) throw usageError(`--agent-image ${path} is ${size === 0 ? 'empty' : 'no tar file'}`, howTo)
  if (seen > size) throw usageError(`--agent-image ${path} is cut short: its members have ${seen} bytes, the file ${size}`, 'copy or save it again')
  return { names, json }
}

function noImage(path: string, names: readonly string[]): never {
  const exported = names.some((name) => /^(bin|etc|usr|lib|\.dockerenv)(\/|$)/.test(name))
  throw usageError(`--agent-image ${path} is a tar, but not of an image: it has neither manifest.json nor index.json; it begins with ${names.join(', ')}`, exported ? `it looks like the files of a container (docker export); ${howTo}` : howTo)
}

/** A JSON member by its name or, in OCI layouts, by the digest of its blob. */
function parsed<T>(path: string, json: ReadonlyMap<string, string>, name: string, schema: z.ZodType<T>): T {
  const text = json.get(name)
  if (text === undefined) throw usageError(`--agent-image ${path} is not whole: it has no ${name}`, 'copy or save it again')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw usageError(`--agent-image ${path}: ${name} is not JSON: ${messageOf(cause)}`, 'copy or save it again')
  }
  const result = schema.safeParse(value)
  if (!result.success) throw usageError(`--agent-image ${path}: ${name} is not that of an image:\n${z.prettifyError(result.error)}`, howTo)
  return result.data
}

const blob = (digest: string): string => `blobs/${digest.replace(':', '/')}`

function fromDocker(path: string, json: ReadonlyMap<string, string>): GivenImage[] {
  return parsed(path, json, 'manifest.json', dockerManifest).map(({ Config, RepoTags }) => ({ refs: (RepoTags ?? []).map(fullRef), labels: labelsOf(path, json, Config) }))
}

/** Of an index with images for several machines the one for ours counts. docker save writes both forms: names are in manifest.json then. */
function fromIndex(path: string, json: ReadonlyMap<string, string>): GivenImage[] {
  const { manifests } = parsed(path, json, 'index.json', ociIndex)
  const docker = json.has('manifest.json') ? parsed(path, json, 'manifest.json', dockerManifest) : []
  return manifests.filter(({ annotations }) => annotations?.['vnd.docker.reference.type'] === undefined).map((entry, i) => {
    const named = entry.annotations?.['io.containerd.image.name'] ?? entry.annotations?.['org.opencontainers.image.ref.name']
    const refs = named !== undefined && /[/:]/.test(named) ? [fullRef(named)] : (docker[i]?.RepoTags ?? []).map(fullRef)
    return { refs, labels: labelsOf(path, json, blob(configOf(path, json, entry))) }
  })
}

type Descriptor = z.infer<typeof descriptor>

function configOf(path: string, json: ReadonlyMap<string, string>, entry: Descriptor): string {
  const text = parsed(path, json, blob(entry.digest), z.union([ociManifest, ociIndex]))
  if ('config' in text) return (text as z.infer<typeof ociManifest>).config.digest
  const all = (text).manifests
  const ours = all.find(({ platform }) => platform?.architecture === 'amd64' && platform.os === 'linux')
  if (!ours) throw wrongMachine(path, all.map(({ platform }) => (platform ? `${platform.os}/${platform.architecture}` : 'unknown')).join(', '))
  return configOf(path, json, ours)
}

function labelsOf(path: string, json: ReadonlyMap<string, string>, config: string): Readonly<Record<string, string>> {
  const { architecture, os, config: settings } = parsed(path, json, config, imageConfig)
  if (os !== 'linux' || architecture !== 'amd64') throw wrongMachine(path, `${os}/${architecture}`)
  return settings?.Labels ?? {}
}

const wrongMachine = (path: string, is: string): KernelbedError => usageError(`--agent-image ${path} is for ${is}, the machines are linux/amd64`, 'pull it with --platform linux/amd64, and save it again')

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))
