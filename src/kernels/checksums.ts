import { compareVersions } from '../core/versions.ts'

/** SHA-256 (hex) by file name, from a CHECKSUMS file; its SHA-1 part and its comments are left out. */
export function parseChecksums(text: string): ReadonlyMap<string, string> {
  return new Map(text.split('\n').flatMap((line) => {
    const found = /^([0-9a-f]{64}) [ *](?:\.\/)?(\S+)\s*$/i.exec(line)
    return found?.[1] !== undefined && found[2] !== undefined ? [[found[2], found[1].toLowerCase()] as const] : []
  }))
}

/** A file to fetch: its name as CHECKSUMS has it, and the SHA-256 it must have. */
export interface ListedDeb { readonly path: string; readonly sha256: string }

/** A kernel's packages among those that a CHECKSUMS file lists. */
export type Choice =
  /** Image first, then modules where they are apart (4.14.39 and later). */
  | { readonly debs: readonly ListedDeb[] }
  | { readonly none: string }

/** `amd64/linux-image-unsigned-4.14.336-0414336-generic_4.14.336-0414336.202401101234_amd64.deb` */
const image = /^(?:\w+\/)?linux-image-(?:unsigned-)?(\d[^_/]*)_([^_/]+)_(\w+)\.deb$/

/** The packages of the amd64 kernel of a line, the generic flavour before others. A name that could lead out of its folder is never taken. */
export function chooseDebs(listed: ReadonlyMap<string, string>, line: string): Choice {
  const images = [...listed.keys()].filter((name) => !name.includes('..')).flatMap((path) => {
    const [, release = '', version = '', arch = ''] = image.exec(path) ?? []
    return release.startsWith(`${line}.`) || release.startsWith(`${line}-`) ? [{ path, release, version, arch }] : []
  })
  const mine = images.filter(({ arch, release }) => arch === 'amd64' && !/-(dbg|dbgsym)$/.test(release))
  const chosen = mine.find(({ release }) => release.endsWith('-generic')) ?? mine.find(({ release }) => !release.endsWith('-lowlatency')) ?? mine[0]
  if (!chosen) return { none: images.length > 0 ? `builds for ${[...new Set(images.map(({ arch }) => arch))].join(', ')} only; the machines are amd64` : `no image of a ${line} kernel` }
  const modules = new Set(['modules', 'modules-extra'].map((kind) => `linux-${kind}-${chosen.release}_${chosen.version}_amd64.deb`))
  const paths = [chosen.path, ...[...listed.keys()].filter((path) => modules.has(path.replace(/^\w+\//, '')))]
  return { debs: paths.map((path) => ({ path, sha256: listed.get(path)! })) }
}

/** Kernel versions newest first. */
export const newestFirst = (versions: readonly string[]): string[] => [...versions].sort((a, b) => compareVersions(b, a))
