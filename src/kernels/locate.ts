import { KernelbedError } from '../core/errors.ts'
import { chooseDebs, newestFirst, parseChecksums, type ListedDeb } from './checksums.ts'
import type { Origin } from './origin.ts'

/** A kernel found at an origin; nothing of it is verified yet. */
export interface Located {
  readonly version: string
  /** Folder that its CHECKSUMS is in, and that the packages' paths are relative to: `v4.9.337/amd64` or `v4.9.76`. */
  readonly folder: string
  readonly debs: readonly ListedDeb[]
  readonly checksums: Buffer
  /** CHECKSUMS.gpg, where there is one. */
  readonly signature: Buffer | undefined
}

/** Versions looked at before a line counts as not built: now and then a version's amd64 build failed. */
const looks = 8

/**
 * The kernel of a line at an origin: `preferred` where it has that, else the newest version that has an amd64 build. Throws KernelbedError (host) that says what there is
 * instead, or why the origin can't be reached.
 */
export async function locateKernel(origin: Origin, line: string, preferred: string | undefined, signal: AbortSignal): Promise<Located> {
  const listed = await origin.versions(signal)
  const ofLine = newestFirst((listed ?? []).filter((version) => version === line || version.startsWith(`${line}.`)))
  const wanted = preferred !== undefined && (listed === undefined || ofLine.includes(preferred)) ? [preferred] : []
  const seen: string[] = []
  for (const version of [...new Set([...wanted, ...ofLine])].slice(0, looks)) {
    const found = await lookAt(origin, line, version, signal)
    if ('debs' in found) return found
    seen.push(`v${version}: ${found.none}`)
  }
  throw new KernelbedError(seen.length > 0 ? `${origin.base} has no amd64 build of ${line}` : `${origin.base} has no kernel ${line}`, {
    blame: 'host',
    details: seen.length > 0 ? seen.join('\n') : listed === undefined ? 'its folders can\'t be listed' : `it has ${listed.length === 0 ? 'no folder named like a version (v4.9.337)' : newestFirst(listed).slice(0, 8).join(', ')}`,
  })
}

/** Today's folders have the files of an architecture in a folder of its own; those of 2016–2018 have all in one. */
async function lookAt(origin: Origin, line: string, version: string, signal: AbortSignal): Promise<Located | { none: string }> {
  let none = 'no CHECKSUMS in it, nor in its amd64/'
  for (const folder of [`v${version}/amd64`, `v${version}`]) {
    const checksums = await origin.read(`${folder}/CHECKSUMS`, signal)
    if (!checksums) continue
    const choice = chooseDebs(parseChecksums(checksums.toString('utf8')), line)
    if ('debs' in choice) return { version, folder, debs: choice.debs, checksums, signature: await origin.read(`${folder}/CHECKSUMS.gpg`, signal) }
    none = choice.none
  }
  return { none }
}
