import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { Context } from '../core/context.ts'
import { compareVersions } from '../core/versions.ts'
import { readBzImage } from './bzimage.ts'

const originShape = z.object({ base: z.string(), version: z.string(), source: z.string() })

/** Where a cached kernel of a mainline archive or mirror came from. */
type Described = z.infer<typeof originShape>

export const describeMainline = (entry: string, described: Described): void => writeFileSync(join(entry, 'source.json'), JSON.stringify(described))

export interface CachedMainline extends Described { readonly entry: string }

/** Complete kernels of the cache whose folder's name begins so. */
const entries = (prefix: string, ctx: Context): string[] => {
  const folder = join(ctx.cache, 'kernels')
  return existsSync(folder) ? readdirSync(folder).filter((name) => name.startsWith(prefix)).map((name) => join(folder, name)).filter((dir) => existsSync(join(dir, '.complete')) && existsSync(join(dir, 'vmlinuz'))) : []
}

/** Kernels of a line that archives or mirrors gave, newest first. */
export function cachedMainline(line: string, ctx: Context): CachedMainline[] {
  return entries(`mainline-${line}-`, ctx).flatMap((entry) => {
    const file = join(entry, 'source.json')
    return existsSync(file) ? [{ entry, ...originShape.parse(JSON.parse(readFileSync(file, 'utf8'))) }] : []
  }).sort((a, b) => compareVersions(b.version, a.version))
}

/** Releases of the kernels that a Debian suite gave, last fetched first. */
export function cachedDebian(suite: string, ctx: Context): string[] {
  const byAge = entries(`debian-${suite}-`, ctx).map((entry) => ({ entry, time: statSync(entry).mtimeMs })).sort((a, b) => b.time - a.time)
  return byAge.map(({ entry }) => readBzImage(join(entry, 'vmlinuz')).release)
}
