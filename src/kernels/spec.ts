import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { didYouMean } from '../core/closest.ts'
import { usageError } from '../core/errors.ts'
import { readBuildTree, type BuildTree } from './build-tree.ts'
import { lineOf, readBzImage } from './bzimage.ts'
import { catalogueNames, findInCatalogue, type CatalogueKernel } from './catalogue.ts'
import { mirrorSource } from './sources.ts'
import { isX86Elf, readVmlinux } from './vmlinux.ts'

/** A `--kernel` value, understood and checked. `name` is absent where only the kernel itself will tell. */
export type KernelSpec =
  | { readonly kind: 'catalogue'; readonly kernel: CatalogueKernel }
  /** A bzImage, or a vmlinux that QEMU can boot. */
  | { readonly kind: 'file'; readonly name: string; readonly path: string; readonly release: string; readonly modules?: string; readonly config?: string }
  /** An image package, and those with its modules where given. */
  | { readonly kind: 'debs'; readonly name?: string; readonly files: readonly string[] }
  /** A folder in which a kernel was built. */
  | { readonly kind: 'tree'; readonly name?: string; readonly tree: BuildTree }

export interface KernelOptions {
  /** Folder of modules for an image of one's own: `…/lib/modules/<release>`, or one above it; for an image package, the package of its modules. */
  readonly modules?: string
  /** What no known key signs is trusted now, and held to from now on. */
  readonly trustOnFirstUse?: boolean
}

/**
 * Understands `6.1` (a catalogue name), a path (bzImage, vmlinux, `.deb` or several with `:` between, folder of a build) or `mine=<path>`, and checks the file; starts nothing.
 * Throws a usage error for an unknown name or a missing file, a host error for a file that is no whole x86-64 kernel.
 */
export function checkKernelSpec(spec: string, options: KernelOptions = {}): KernelSpec {
  const named = /^([\w.+-]+)=(.+)$/.exec(spec)
  if (named?.[1] !== undefined && named[2] !== undefined) return pathSpec(named[1], named[2], options)
  const entry = findInCatalogue(spec)
  if (entry) return catalogueSpec(entry, options)
  if (spec.includes('/') || existsSync(spec) || spec.endsWith('.deb')) return pathSpec(undefined, spec, options)
  throw usageError(`unknown kernel "${spec}"${didYouMean(spec, catalogueNames)}`, `known: ${catalogueNames.join(', ')}; or a path to a bzImage, vmlinux, .deb or kernel build`)
}

/** What results call a kernel, and its line, as far as that is known without unpacking a package. */
export function describeSpec(spec: KernelSpec): { readonly name: string; readonly line: string } {
  if (spec.kind === 'catalogue') return { name: spec.kernel.name, line: spec.kernel.name }
  if (spec.kind === 'file') return { name: spec.name, line: lineOf(spec.release) }
  const release = spec.kind === 'tree' ? spec.tree.release : basename(spec.files[0] ?? '').replace(/^linux-image-(unsigned-)?/, '').replace(/_.*/, '')
  return { name: spec.name ?? release, line: lineOf(release) }
}

function catalogueSpec(kernel: CatalogueKernel, { modules }: KernelOptions): KernelSpec {
  if (modules !== undefined) throw usageError(`--modules goes with a kernel image of your own, not with "${kernel.name}"`, `give --kernel ${kernel.name}=./bzImage --modules ${modules}`)
  // A mirror's address is checked before anything starts.
  if (kernel.sources.some(({ from }) => from === 'mirror')) mirrorSource()
  return { kind: 'catalogue', kernel }
}

function pathSpec(name: string | undefined, given: string, options: KernelOptions): KernelSpec {
  const debs = given.split(':')
  if (debs.every((file) => file.endsWith('.deb'))) return debSpec(name, debs, options)
  const path = resolve(given)
  if (!existsSync(path)) throw usageError(`kernel image ${given} does not exist`, 'give a path to a bzImage, or one of: ' + catalogueNames.join(', '))
  if (statSync(path).isDirectory()) return treeSpec(name, path, options)
  if (!statSync(path).isFile()) throw usageError(`kernel image ${given} is not a file`)
  return fileSpec(name, path, options)
}

function fileSpec(name: string | undefined, path: string, options: KernelOptions): KernelSpec {
  const { release } = isX86Elf(path) ? readVmlinux(path) : readBzImage(path)
  const modules = options.modules === undefined ? undefined : findModules(options.modules, release)
  const config = configBeside(path, release)
  return { kind: 'file', name: name ?? defaultName(path, release), path, release, ...(modules === undefined ? {} : { modules }), ...(config === undefined ? {} : { config }) }
}

/** The tree's own modules, or those of --modules in their place. */
function treeSpec(name: string | undefined, path: string, options: KernelOptions): KernelSpec {
  const tree = readBuildTree(path)
  return options.modules === undefined ? { kind: 'tree', ...(name === undefined ? {} : { name }), tree } : fileSpec(name, tree.image, options)
}

function debSpec(name: string | undefined, given: readonly string[], { modules }: KernelOptions): KernelSpec {
  if (modules !== undefined && !modules.endsWith('.deb')) throw usageError(`--modules ${modules}: the modules of a .deb come as a .deb`, 'leave --modules out when the package of the modules is beside that of the image')
  const files = [...given, ...(modules === undefined ? [] : [modules])].map((file) => {
    const path = resolve(file)
    if (!existsSync(path)) throw usageError(`package ${file} does not exist`)
    if (!statSync(path).isFile()) throw usageError(`package ${file} is not a file`)
    return path
  })
  return { kind: 'debs', ...(name === undefined ? {} : { name }), files }
}

/** `bzImage` and `vmlinuz-6.1.0` say less than the release does. */
const defaultName = (path: string, release: string): string => (/^(bzImage|vmlinu[xz])/i.test(basename(path)) ? release : basename(path))

/** A config that came with an image: of a build, of /boot, or beside it; one of another version is not it. */
function configBeside(path: string, release: string): string | undefined {
  const folder = dirname(path)
  const [version] = release.split('-')
  return [join(folder, `config-${release}`), join(folder, 'config'), join(folder, '.config'), join(folder, '../../../.config')]
    .find((file) => statSync(file, { throwIfNoEntry: false })?.isFile() && readFileSync(file, 'utf8').slice(0, 300).match(/Linux\/x86(?:_64)? (\S+) Kernel Configuration/)?.[1] === version)
}

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
