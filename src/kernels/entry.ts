import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sha256, sha256File } from '../core/cache.ts'
import { lineOf, readBzImage } from './bzimage.ts'
import { fingerprint } from './fingerprint.ts'
import type { Kernel } from './types.ts'

/** A cache entry of a kernel is a folder of vmlinuz, digest and, where there are any, config and lib/modules/R; see arrange(). Writes its digest, of image and modules. */
export async function sealEntry(entry: string): Promise<void> {
  const modules = join(entry, 'lib/modules')
  writeFileSync(join(entry, 'digest'), sha256(await sha256File(join(entry, 'vmlinuz')), existsSync(modules) ? fingerprint(modules) : ''))
}

/** The kernel of a cache entry. */
export function kernelOfEntry(entry: string, name: string | undefined, source: string): Kernel {
  const image = join(entry, 'vmlinuz')
  const { release } = readBzImage(image)
  const [modules, config] = [join(entry, 'lib/modules', release), join(entry, 'config')]
  return {
    name: name ?? release,
    release,
    line: lineOf(release),
    image,
    ...(existsSync(modules) ? { modules } : {}),
    ...(existsSync(config) ? { config } : {}),
    digest: readFileSync(join(entry, 'digest'), 'utf8'),
    source,
  }
}
