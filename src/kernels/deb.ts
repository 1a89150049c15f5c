import { existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs'
import { basename, join } from 'node:path'
import { runCommand } from '../core/command.ts'
import { KernelbedError } from '../core/errors.ts'
import type { Context } from '../core/context.ts'
import { readBzImage } from './bzimage.ts'
import { RefusedError } from './refused.ts'

export interface DebFields { readonly package: string; readonly version: string; readonly architecture: string }

/** Control fields of a package file. Throws KernelbedError (host) for a damaged one, RefusedError for one of another architecture. */
export async function readDeb(file: string, ctx: Context): Promise<DebFields> {
  const { stdout } = await runCommand('dpkg-deb', ['-f', file, 'Package', 'Version', 'Architecture'], { signal: ctx.signal, env: { LC_ALL: 'C' }, hint: `${basename(file)} is no whole Debian package` })
  const field = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(stdout)?.[1]?.trim() ?? ''
  const fields = { package: field('Package'), version: field('Version'), architecture: field('Architecture') }
  if (fields.architecture !== 'amd64') throw new RefusedError(`${basename(file)} is a package for ${fields.architecture || 'no architecture'}; the machines are amd64`, { hint: 'take the amd64 package' })
  return fields
}

export async function unpackDeb(file: string, dir: string, ctx: Context): Promise<void> {
  await runCommand('dpkg-deb', ['-x', file, dir], { signal: ctx.signal, env: { LC_ALL: 'C' }, hint: `${basename(file)} is no whole Debian package, or the disk is full` })
}

const inFolder = (dir: string, pattern: RegExp): string[] => (existsSync(dir) ? readdirSync(dir).filter((name) => pattern.test(name)).map((name) => join(dir, name)) : [])

/** The kernel images in an unpacked package: /boot/vmlinuz-R, or /usr/lib/modules/R/vmlinuz (Debian from 2026 on). */
export const imagesIn = (unpacked: string): string[] => [
  ...inFolder(join(unpacked, 'boot'), /^vmlinuz-\d/),
  ...['usr/lib/modules', 'lib/modules'].flatMap((root) => inFolder(join(unpacked, root), /^\d/)).map((folder) => join(folder, 'vmlinuz')).filter((path) => existsSync(path)),
]

/** From the layouts of Debian's and Ubuntu's packages to one, in `dir`: vmlinuz, config, lib/modules/R (where the kernel has modules). Answers the release R. */
export function arrange(unpacked: string, dir: string): string {
  const [image, ...others] = imagesIn(unpacked)
  if (image === undefined || others.length > 0) throw new KernelbedError(image === undefined ? 'the package holds no kernel image' : `the packages hold ${others.length + 1} kernel images`, { blame: 'host', hint: 'give the linux-image package of one kernel, or pass an image with --kernel and --modules' })
  const { release } = readBzImage(image)
  const roots = ['usr/lib/modules', 'lib/modules'].map((root) => join(unpacked, root, release))
  const config = [join(unpacked, `boot/config-${release}`), ...roots.map((root) => join(root, 'config'))].find((path) => existsSync(path))
  renameSync(image, join(dir, 'vmlinuz'))
  if (config !== undefined) renameSync(config, join(dir, 'config'))
  const modules = roots.find((root) => existsSync(join(root, 'kernel')))
  if (modules !== undefined) {
    mkdirSync(join(dir, 'lib/modules'), { recursive: true })
    renameSync(modules, join(dir, 'lib/modules', release))
  }
  return release
}
