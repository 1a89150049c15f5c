import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Context } from './context.ts'

/** Of each sort of image (guest disks, an agent's images, a kernel line's modules, …) that many are kept: one for each of a few branches or faults that are worked on. */
const KEPT = 5
/** None is kept for longer without use. */
const OLDEST_MS = 30 * 24 * 3600_000
/** A run ends its marks, or its reaper does. One left up longer has its disks open, and an open file outlives its name. */
const MARK_MS = 2 * 24 * 3600_000

const marks = (dir: string): string => join(dir, '.uses')

/**
 * True when the entry is there; it is then marked as used by this run until the run ends, and as used now. The mark is set before looking, so that pruning beside
 * this either sees the mark or is seen.
 */
export function useEntry(ctx: Pick<Context, 'registry'>, dir: string): boolean {
  const release = mark(ctx, dir)
  if (existsSync(join(dir, '.complete'))) return true
  release?.()
  return false
}

/** A cache that cannot be written, as one that comes with a container image, is not pruned either. */
function mark(ctx: Pick<Context, 'registry'>, dir: string): (() => void) | undefined {
  const path = join(marks(dir), `${process.pid}-${randomBytes(4).toString('hex')}`)
  const claim = ctx.registry.claim(`use of ${dir}`, () => rmSync(path, { force: true }))
  try {
    if (!existsSync(marks(dir))) mkdirSync(marks(dir))
    writeFileSync(path, '')
    claim.hold({ kind: 'path', path })
    const now = new Date()
    utimesSync(join(dir, '.complete'), now, now)
  } catch (error) {
    if (!['ENOENT', 'EROFS', 'EACCES', 'EPERM', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
  return () => void claim.release()
}

/** Folders of the entries that this run has used so far. */
export const usedEntries = ({ registry }: Pick<Context, 'registry'>): readonly string[] =>
  [...new Set(registry.held.flatMap(({ owned }) => owned).flatMap((held) => (held.kind === 'path' && basename(dirname(held.path)) === '.uses' ? [dirname(dirname(held.path))] : [])))].sort()

/** Whether a run that has not ended uses the entry. */
function inUse(dir: string, now: number): boolean {
  if (!existsSync(marks(dir))) return false
  return readdirSync(marks(dir)).some((name) => now - (statSync(join(marks(dir), name), { throwIfNoEntry: false })?.mtimeMs ?? 0) < MARK_MS)
}

/** `guest` of `guest-402c01706528c1c3`, `boot-6.1` of `boot-6.1-…`: what an entry replaces an older one of. */
const sortOf = (name: string): string => name.replace(/-[0-9a-f]{16}$/, '')

/** Removes the least recently used entries of each sort beyond what is kept, and those unused for long; none that a run uses. `now`: milliseconds since 1970. */
export function pruneSorts(folder: string, now: number = Date.now()): void {
  const entries = readdirSync(folder).map((name) => ({ name, dir: join(folder, name), used: statSync(join(folder, name, '.complete'), { throwIfNoEntry: false })?.mtimeMs }))
  for (const { name, dir } of entries) if (name.includes(leaving)) rmSync(dir, { recursive: true, force: true })
  const whole = entries.filter((entry): entry is typeof entry & { used: number } => entry.used !== undefined && !entry.name.includes(leaving))
  for (const sort of Map.groupBy(whole, ({ name }) => sortOf(name)).values()) {
    const old = sort.sort((a, b) => b.used - a.used).filter(({ used }, rank) => rank >= KEPT || now - used > OLDEST_MS)
    for (const { dir } of old) remove(dir, now)
  }
}

/** In the name of a folder that is being removed. */
const leaving = '.leaving-'

/** Takes the entry out of the way first: a run that marked it meanwhile is then seen, and gets it back. */
function remove(dir: string, now: number): void {
  if (inUse(dir, now)) return
  const aside = join(dir, '..', `${basename(dir)}${leaving}${randomBytes(4).toString('hex')}`)
  try {
    renameSync(dir, aside)
  } catch {
    return // another run removes it
  }
  if (inUse(aside, now) && !existsSync(dir)) return renameSync(aside, dir)
  rmSync(aside, { recursive: true, force: true })
}
