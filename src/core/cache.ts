import { createHash } from 'node:crypto'
import { createReadStream, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { lock } from 'proper-lockfile'
import { pruneSorts, useEntry } from './cache-prune.ts'
import { fromSystem, KernelbedError } from './errors.ts'
import { inStep } from './progress.ts'
import { waitFor } from './wait.ts'
import type { Context } from './context.ts'

/** SHA-256 of a file, hex. */
export async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

export const sha256 = (...parts: readonly string[]): string => createHash('sha256').update(JSON.stringify(parts)).digest('hex')

/**
 * A folder of the cache, made once: `make` fills a temporary folder beside it, which is renamed into place only when it succeeded, so a
 * half-made entry never exists; two runs at once make it once (a lock file). Nothing is kept when `make` throws. Images are pruned (cache-prune.ts).
 */
export async function cached(ctx: Context, kind: 'kernels' | 'images' | 'kubernetes' | 'snapshots', key: string, make: (dir: string) => Promise<void>): Promise<string> {
  const final = join(ctx.cache, kind, key)
  const isThere = (): boolean => useEntry(ctx, final)
  if (isThere()) return final
  mkdirSync(dirname(final), { recursive: true })
  const release = (await tryLock(final)) ?? (await waitForLock(final, `${kind}/${key}`, ctx))
  const claim = ctx.registry.claim(`lock on ${kind}/${key}`, () => release())
  claim.hold({ kind: 'path', path: `${final}.lock` })
  try {
    if (isThere()) return final
    await makeEntry(ctx, final, make)
    useEntry(ctx, final)
    if (kind === 'images') pruneSorts(dirname(final))
    return final
  } finally {
    await claim.release()
  }
}

/** Locks an entry; undefined while another run has it. The lock of a dead run is taken over after 30 s. */
async function tryLock(path: string): Promise<(() => Promise<void>) | undefined> {
  try {
    return await lock(path, { realpath: false, stale: 30_000, update: 5_000 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ELOCKED') return undefined
    throw fromSystem(error)
  }
}

/** Shown as a step, so that a run that only waits says so. The longest entry, Kubernetes, takes about 15 minutes. */
const waitForLock = (path: string, name: string, ctx: Context): Promise<() => Promise<void>> =>
  inStep(ctx.progress, `${name}: waiting for another run that makes it`, () =>
    waitFor({ name: `another run to make ${name}`, timeoutMs: 60 * 60_000, intervalMs: 500, signal: ctx.signal, hint: `if no other run is at work, remove ${path}.lock` }, async () => {
      const release = await tryLock(path)
      return release ? { done: release } : { seen: 'locked' }
    }))

/** The folder of an entry that is there. */
export function cachedEntry(ctx: Pick<Context, 'cache'>, kind: 'snapshots', key: string): string | undefined {
  const dir = join(ctx.cache, kind, key)
  return existsSync(join(dir, '.complete')) ? dir : undefined
}

/** Notes that an entry was used now, and removes the least recently used ones of its kind beyond `keep`. A run that has one open goes on with it. */
export function keepNewest(ctx: Pick<Context, 'cache'>, kind: 'snapshots', key: string, keep: number): void {
  const folder = join(ctx.cache, kind)
  const now = new Date()
  utimesSync(join(folder, key, '.complete'), now, now)
  const entries = readdirSync(folder).map((name) => ({ dir: join(folder, name), used: statSync(join(folder, name, '.complete'), { throwIfNoEntry: false })?.mtimeMs }))
  const old = entries.filter((entry): entry is { dir: string; used: number } => entry.used !== undefined).sort((a, b) => b.used - a.used).slice(keep)
  for (const { dir } of old) rmSync(dir, { recursive: true, force: true })
}

async function makeEntry(ctx: Context, final: string, make: (dir: string) => Promise<void>): Promise<void> {
  const partial = `${final}.partial`
  rmSync(partial, { recursive: true, force: true })
  mkdirSync(partial, { recursive: true })
  const claim = ctx.registry.claim(`unfinished ${final}`, () => rmSync(partial, { recursive: true, force: true }))
  claim.hold({ kind: 'path', path: partial })
  try {
    await make(partial)
    writeFileSync(join(partial, '.complete'), '')
    rmSync(final, { recursive: true, force: true })
    renameSync(partial, final)
  } catch (error) {
    if (isNoSpace(error)) throw new KernelbedError(`the disk is full: could not make ${final}`, { blame: 'host', hint: `free some space, or move the cache with XDG_CACHE_HOME (now ${ctx.cache}; safe to delete)`, cause: error })
    throw error
  } finally {
    await claim.release()
  }
}

/** Whether an error, or what it was caused by, says that the disk is full. */
export function isNoSpace(error: unknown): boolean {
  for (let e = error; e instanceof Error; e = e.cause) {
    if ((e as NodeJS.ErrnoException).code === 'ENOSPC' || /no space left on device/i.test(e.message + ('details' in e ? String(e.details) : ''))) return true
  }
  return false
}
