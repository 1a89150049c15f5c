import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { cached, sha256, sha256File } from '../core/cache.ts'
import { KernelbedError } from '../core/errors.ts'
import { inStep } from '../core/progress.ts'
import type { Context } from '../core/context.ts'
import { arrange, readDeb, unpackDeb, type DebFields } from './deb.ts'
import { kernelOfEntry, sealEntry } from './entry.ts'
import type { Kernel } from './types.ts'

interface Deb extends DebFields { readonly file: string }

/**
 * The kernel of package files: an image package, and those that hold its modules, which are found beside it when they aren't given. They are what the user has: nothing vouches
 * for them. Throws KernelbedError (host) for a damaged or wrong package.
 */
export async function resolveDebs(files: readonly string[], name: string | undefined, ctx: Context): Promise<Kernel> {
  const given: Deb[] = []
  for (const file of files) given.push({ file, ...(await readDeb(file, ctx)) })
  const debs = [...given, ...(given.length === 1 && given[0] ? await besides(given[0], ctx) : [])]
  const sums = await Promise.all(debs.map(({ file }) => sha256File(file)))
  const entry = await cached(ctx, 'kernels', `deb-${sha256('1', ...sums).slice(0, 16)}`, (dir) => inStep(ctx.progress, `kernel from ${debs.map(({ file }) => basename(file)).join(' and ')}`, async (step) => {
    const unpacked = join(dir, 'unpacked')
    mkdirSync(unpacked)
    for (const { file } of debs) {
      step.update(`unpacking ${basename(file)}`)
      await unpackDeb(file, unpacked, ctx)
    }
    arrange(unpacked, dir)
    rmSync(unpacked, { recursive: true })
    await sealEntry(dir)
  }))
  const kernel = kernelOfEntry(entry, name, debs.map(({ file }) => file).join(' '))
  if (kernel.modules === undefined && needsModules(kernel)) throw new KernelbedError(`${basename(files[0] ?? '')} has no modules, and linux-modules-${kernel.release}_…_amd64.deb is not beside it`, { blame: 'host', hint: `put it there, or give both: --kernel ${files.join(':')}:MODULES.deb` })
  return kernel
}

/** Ubuntu's and Debian's image packages leave modules to a package of their own; a kernel that boots without has its virtio built in, and no package to go with it. */
const needsModules = (kernel: Kernel): boolean => /-(generic|lowlatency|amd64|cloud-amd64)$/.test(kernel.release)

/** Packages beside an image package that belong to it: same release, same version. */
async function besides(image: Deb, ctx: Context): Promise<Deb[]> {
  const release = /^linux-(?:image|image-unsigned|binary)-(\d.*)$/.exec(image.package)?.[1]
  if (release === undefined) return []
  const folder = dirname(image.file)
  const names = ['modules', 'modules-extra', 'binary', 'base'].map((kind) => `linux-${kind}-${release}`)
  const debs: Deb[] = []
  for (const file of readdirSync(folder).filter((candidate) => candidate.endsWith('.deb') && names.includes(candidate.split('_')[0] ?? ''))) {
    const path = join(folder, file)
    if (!existsSync(path) || path === image.file) continue
    const fields = await readDeb(path, ctx)
    if (fields.version === image.version) debs.push({ file: path, ...fields })
  }
  return debs
}
