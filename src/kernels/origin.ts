import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { copyFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { KernelbedError, usageError } from '../core/errors.ts'
import { download, type DownloadOptions } from './download.ts'
import { httpRead } from './http.ts'

/** Something laid out like Ubuntu's mainline archive: `v4.9.337/amd64/{CHECKSUMS,CHECKSUMS.gpg,*.deb}`, or the files directly in `v4.9.76/`. */
export interface Origin {
  /** Its address without a trailing slash; tells origins apart. */
  readonly base: string
  /** Kernel versions it has folders for, e.g. `4.9.337`; undefined where it can't be listed. Throws KernelbedError where it can't be reached. */
  versions(signal: AbortSignal): Promise<readonly string[] | undefined>
  /** A small file; undefined where there is none. */
  read(path: string, signal: AbortSignal): Promise<Buffer | undefined>
  /** A large file into `part`; see download(). */
  fetch(path: string, part: string, options: DownloadOptions): Promise<void>
}

/** Longest silence before a source counts as out of reach. */
const silenceMs = 6000
const versionFolder = /^v(\d+\.\d+(?:\.\d+)?)$/

/** From an address: `https://…`, `http://…`, `file:///…` or a folder. Throws a usage error for anything else; `named` says in it where the address came from. */
export function openOrigin(address: string, named: string): Origin {
  if (/^https?:\/\//.test(address)) {
    if (!URL.canParse(address)) throw usageError(`${named}: ${address} is no URL`)
    return httpOrigin(address.replace(/\/+$/, ''))
  }
  const scheme = /^(\w+):\/\//.exec(address)?.[1]
  if (scheme !== undefined && scheme !== 'file') throw usageError(`${named}: ${scheme}:// is not understood`, 'give a folder, or a URL that begins with http:// or https://')
  const folder = resolve(scheme === 'file' ? fileURLToPath(address) : address)
  if (!existsSync(folder) || !statSync(folder).isDirectory()) throw usageError(`${named}: no folder ${folder}`, 'it holds v4.9.337/amd64/ and the like; see README.md')
  return folderOrigin(folder)
}

/** The listing is asked for once. */
function httpOrigin(base: string): Origin {
  let listing: Promise<readonly string[] | undefined> | undefined
  const read = (path: string, signal: AbortSignal, maxBytes: number): Promise<Buffer | undefined> => httpRead(`${base}/${path}`, { signal, silenceMs, maxBytes })
  return {
    base,
    versions: (signal) => (listing ??= read('', signal, 32 * 2 ** 20).then((page) => (page === undefined ? undefined : versionsOf(hrefs(page.toString('utf8')))))),
    read: (path, signal) => read(path, signal, 4 * 2 ** 20),
    fetch: (path, part, options) => download(`${base}/${path}`, part, options),
  }
}

function folderOrigin(base: string): Origin {
  return {
    base,
    versions: () => Promise.resolve(versionsOf(readdirSync(base))),
    read: (path) => Promise.resolve(isFile(join(base, path)) ? readFileSync(join(base, path)) : undefined),
    fetch: async (path, part) => {
      if (!isFile(join(base, path))) throw new KernelbedError(`${join(base, path)} is missing, though CHECKSUMS names it`, { blame: 'host', hint: 'complete the mirror' })
      await copyFile(join(base, path), part)
    },
  }
}

const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false

/** Last parts of the links of a server's folder page. */
const hrefs = (html: string): string[] => [...html.matchAll(/href\s*=\s*["']([^"'?#]+)/gi)].map(([, href = '']) => href.replace(/\/$/, '').split('/').at(-1) ?? '')

const versionsOf = (names: readonly string[]): string[] => [...new Set(names.flatMap((name) => versionFolder.exec(name)?.[1] ?? []))]
