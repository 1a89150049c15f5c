import { existsSync } from 'node:fs'
import { usageError } from '../core/errors.ts'
import { openOrigin } from './origin.ts'
import type { CatalogueKernel, KernelSource } from './catalogue.ts'
import type { MainlineSource } from './mainline.ts'
import { ubuntuMainline } from './ubuntu-archive.ts'

/** Ubuntu's archive, verified by its pinned key. */
export const archiveSource = (): MainlineSource => ({ name: ubuntuMainline.name, origin: openOrigin(ubuntuMainline.base, ubuntuMainline.name), trust: { by: 'archive', archive: ubuntuMainline } })

/** KERNELBED_MIRROR, verified by KERNELBED_MIRROR_KEY where that is set; undefined where no mirror is set. Throws a usage error for an address that is none. */
export function mirrorSource(env: NodeJS.ProcessEnv = process.env): MainlineSource | undefined {
  const [address, key] = [env['KERNELBED_MIRROR'], env['KERNELBED_MIRROR_KEY']]
  if (!address && key) throw usageError('KERNELBED_MIRROR_KEY is set, but KERNELBED_MIRROR is not', 'set KERNELBED_MIRROR to the folder or URL that the key signs')
  if (!address) return undefined
  if (key && !existsSync(key)) throw usageError(`KERNELBED_MIRROR_KEY: no file ${key}`, 'it holds the public key that signs the mirror: gpg --export --armor KEY')
  return { name: 'KERNELBED_MIRROR', origin: openOrigin(address, 'KERNELBED_MIRROR'), trust: key ? { by: 'key file', file: key } : { by: 'nothing', archive: ubuntuMainline } }
}

/** A source for people. */
export const sourceName = (source: KernelSource): string => (source.from === 'mirror' ? 'KERNELBED_MIRROR' : source.from === 'mainline' ? ubuntuMainline.name : `Debian ${source.suites.join(' or ')}`)

/** The version a mirror that can't be listed is asked for. */
export const knownVersion = (kernel: CatalogueKernel): string | undefined => kernel.sources.flatMap((source) => (source.from === 'mainline' ? [source.version] : []))[0]
