import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { cached, isNoSpace, sha256, sha256File } from '../core/cache.ts'
import { KernelbedError } from '../core/errors.ts'
import { inStep, type Step } from '../core/progress.ts'
import type { Context } from '../core/context.ts'
import { lineOf } from './bzimage.ts'
import { cachedMainline, describeMainline } from './cached.ts'
import type { ListedDeb } from './checksums.ts'
import { arrange, readDeb, unpackDeb } from './deb.ts'
import { megabytes } from './download.ts'
import { kernelOfEntry, sealEntry } from './entry.ts'
import { UnreachableError } from './http.ts'
import { locateKernel, type Located } from './locate.ts'
import type { Origin } from './origin.ts'
import { RefusedError } from './refused.ts'
import { verifyChecksums, type Trust } from './trust.ts'
import type { Kernel } from './types.ts'

/** A place laid out like Ubuntu's mainline archive, and whose signature counts there. */
export interface MainlineSource { readonly name: string; readonly origin: Origin; readonly trust: Trust }

export interface MainlineRequest {
  /** What the kernel is called, and its line, `4.9`. */
  readonly kernel: string
  readonly line: string
  /** Version to prefer; absent: the newest there is of the line. */
  readonly version?: string
  /** The person said --trust-on-first-use. */
  readonly firstUse?: boolean
}

/**
 * A kernel from such a place: CHECKSUMS verified, packages downloaded (resumed where an earlier run was cut), checked and unpacked into the cache. A source that can't be
 * reached is made up for by what it gave before, with a note. Throws RefusedError for what is not to be trusted, KernelbedError (host) for what can't be had.
 */
export async function fetchMainline(request: MainlineRequest, source: MainlineSource, ctx: Context): Promise<Kernel> {
  const { origin, trust } = source
  const located = await locateKernel(origin, request.line, request.version, ctx.signal).catch((error: unknown) => fallBack(error, request, source, ctx))
  if ('image' in located) return located
  const verdict = await verifyChecksums({ base: origin.base, ...located }, trust, request.firstUse ?? false, ctx)
  const key = `mainline-${request.line}-${sha256('1', ...located.debs.map(({ sha256: sum }) => sum)).slice(0, 16)}`
  const entry = await cached(ctx, 'kernels', key, (dir) => inStep(ctx.progress, `kernel ${request.kernel} (v${located.version}) from ${source.name}`, (step) => fill(dir, located, request, source, step, ctx)))
  verdict.confirm()
  const from = `${source.name} ${origin.base} v${located.version}, ${verdict.why}`
  describeMainline(entry, { base: origin.base, version: located.version, source: from })
  return kernelOfEntry(entry, request.kernel, from)
}

/** What the origin gave before, when it can't be reached now. */
function fallBack(error: unknown, request: MainlineRequest, { origin }: MainlineSource, ctx: Context): Kernel {
  const before = ctx.signal.aborted ? undefined : cachedMainline(request.line, ctx).find(({ base }) => base === origin.base)
  if (!before || !(error instanceof UnreachableError)) throw error
  ctx.progress.note(`using the cached ${before.version} of kernel ${request.kernel}: ${error.message}`)
  return kernelOfEntry(before.entry, request.kernel, before.source)
}

async function fill(dir: string, located: Located, request: MainlineRequest, source: MainlineSource, step: Step, ctx: Context): Promise<void> {
  const unpacked = join(dir, 'unpacked')
  mkdirSync(unpacked)
  for (const deb of located.debs) {
    const file = join(dir, basename(deb.path))
    await fetchDeb(deb, `${located.folder}/${deb.path}`, file, source, step, ctx)
    await readDeb(file, ctx)
    step.update(`unpacking ${basename(file)}`)
    await unpackDeb(file, unpacked, ctx)
    rmSync(file)
  }
  const release = arrangeFrom(unpacked, dir, source)
  if (lineOf(release) !== request.line) throw new RefusedError(`${source.origin.base}/${located.folder} holds a kernel ${release}, not one of ${request.line}`, { hint: 'nothing of it is kept' })
  rmSync(unpacked, { recursive: true })
  await sealEntry(dir)
}

/** An image that is none, or one for another machine, is the source's fault. */
function arrangeFrom(unpacked: string, dir: string, source: MainlineSource): string {
  try {
    return arrange(unpacked, dir)
  } catch (error) {
    if (!(error instanceof KernelbedError)) throw error
    throw new RefusedError(`${source.name}: ${error.message.replace(`${unpacked}/`, '')}`, { hint: 'nothing of it is kept' })
  }
}

/** Unfinished downloads are by the checksum of the whole, so that any run and any source can go on with them. */
const partOf = (deb: ListedDeb, ctx: Context): string => join(ctx.cache, 'kernels', 'downloads', `${deb.sha256}.part`)

/** One package into `file`, its checksum right. What an earlier run left may be damaged: then it is downloaded anew, once. */
async function fetchDeb(deb: ListedDeb, path: string, file: string, { origin }: MainlineSource, step: Step, ctx: Context): Promise<void> {
  const part = partOf(deb, ctx)
  mkdirSync(join(part, '..'), { recursive: true })
  dropOldParts(join(part, '..'))
  for (;;) {
    const resumed = existsSync(part) && statSync(part).size > 0
    const name = basename(path)
    try {
      await origin.fetch(path, part, {
        signal: ctx.signal,
        onResume: (from) => ctx.progress.note(`  ${name}: going on from ${megabytes(from)}`),
        onProgress: (done, total) => step.update(`${name}: ${megabytes(done)}${total === undefined ? '' : ` of ${megabytes(total)}`}`),
      })
    } catch (error) {
      throw isNoSpace(error) ? new KernelbedError(`the disk is full: could not download ${name}`, { blame: 'host', hint: `free some space, or move the cache with XDG_CACHE_HOME (now ${ctx.cache}; safe to delete)`, cause: error }) : error
    }
    const sum = await sha256File(part)
    if (sum === deb.sha256) return renameSync(part, file)
    rmSync(part)
    if (!resumed) throw new RefusedError(`${origin.base}/${path} is not what CHECKSUMS says`, { details: `sha256 ${sum}\nexpected ${deb.sha256}`, hint: 'the source is damaged or was tampered with; nothing of it is kept' })
    ctx.progress.note(`  ${name}: what an earlier run left was damaged; downloading it anew`)
  }
}

const twoWeeks = 14 * 24 * 3600_000

/** Nobody goes on with these any more. */
function dropOldParts(folder: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    if (Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()) > twoWeeks) rmSync(path, { force: true })
  }
}
