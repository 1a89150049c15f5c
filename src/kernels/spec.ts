import { existsSync, readdirSync, statSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { didYouMean } from '../core/closest.ts'
import { KernelbedError, usageError } from '../core/errors.ts'
import { readBzImage, type BzImage } from './bzimage.ts'
import { catalogueNames, findInCatalogue, type CatalogueKernel } from './catalogue.ts'

/** A `--kernel` value, understood and checked. */
export type KernelSpec =
  | { readonly kind: 'debian'; readonly kernel: CatalogueKernel & { readonly source: { readonly from: 'debian' } } }
  | { readonly kind: 'file'; readonly name: string; readonly path: string; readonly header: BzImage; readonly modules?: string }

export interface KernelOptions {
  /** Folder of modules for an image of one's own: `…/lib/modules/<release>`, or one above it. */
  readonly modules?: string
}

/**
 * Understands `6.1` (a catalogue name), `./bzImage` or `mine=./bzImage`, and checks the file; starts nothing. Throws a usage error for an unknown name or a missing
 * file, a host error for a file that is no whole x86-64 kernel.
 */
export function checkKernelSpec(spec: string, options: KernelOptions = {}): KernelSpec {
  const named = /^([\w.+-]+)=(.+)$/.exec(spec)
  if (named?.[1] !== undefined && named[2] !== undefined) return fileSpec(named[1], named[2], options)
  const entry = findInCatalogue(spec)
  if (entry) return catalogueSpec(entry, options)
  if (spec.includes('/') || existsSync(spec)) return fileSpec(undefined, spec, options)
  throw usageError(`unknown kernel "${spec}"${didYouMean(spec, catalogueNames)}`, `known: ${catalogueNames.join(', ')}; or a path to a bzImage`)
}

function catalogueSpec(kernel: CatalogueKernel, options: KernelOptions): KernelSpec {
  if (options.modules !== undefined) throw usageError(`--modules goes with a kernel image of your own, not with "${kernel.name}"`, `give --kernel ${kernel.name}=./bzImage --modules ${options.modules}`)
  const { source } = kernel
  if (source.from === 'debian') return { kind: 'debian', kernel: { ...kernel, source } }
  throw new KernelbedError(`kernel ${kernel.name} is not in Debian`, { blame: 'usage', hint: `pass an image of it: --kernel ${kernel.name}=./bzImage (and --modules DIR if it has modules)` })
}

function fileSpec(name: string | undefined, file: string, options: KernelOptions): KernelSpec {
  const path = resolve(file)
  if (!existsSync(path)) throw usageError(`kernel image ${file} does not exist`, 'give a path to a bzImage, or one of: ' + catalogueNames.join(', '))
  if (!statSync(path).isFile()) throw usageError(`kernel image ${file} is not a file`)
  const header = readBzImage(path)
  const modules = options.modules === undefined ? undefined : findModules(options.modules, header.release)
  return { kind: 'file', name: name ?? defaultName(path, header), path, header, ...(modules === undefined ? {} : { modules }) }
}

/** `bzImage` and `vmlinuz-6.1.0` say less than the release does. */
const defaultName = (path: string, header: BzImage): string => (/^(bzImage|vmlinuz)/i.test(basename(path)) ? header.release : basename(path))

/** The folder of this release's modules in or at `dir`. Throws a usage error that names what is there instead. */
function findModules(dir: string, release: string): string {
  const base = resolve(dir)
  if (!existsSync(base) || !statSync(base).isDirectory()) throw usageError(`--modules ${dir}: no such folder`)
  const places = [base, join(base, release), join(base, 'lib/modules', release), join(base, 'usr/lib/modules', release), join(base, 'modules', release)]
  const found = places.find((place) => basename(place) === release && existsSync(place)) ?? (existsSync(join(base, 'kernel')) ? base : undefined)
  if (found === undefined) throw usageError(`--modules ${dir}: no modules of ${release} there`, `it holds ${readdirSync(base).slice(0, 5).join(', ') || 'nothing'}; give …/lib/modules/${release}`)
  if (basename(found) !== release && /^\d+\.\d+/.test(basename(found))) throw usageError(`--modules ${dir}: modules of ${basename(found)}, but the kernel is ${release}`)
  return found
}
