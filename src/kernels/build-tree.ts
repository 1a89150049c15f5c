import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { cached, sha256, sha256File } from '../core/cache.ts'
import { runCommand } from '../core/command.ts'
import { KernelbedError, usageError } from '../core/errors.ts'
import { inStep } from '../core/progress.ts'
import type { Context } from '../core/context.ts'
import { readBzImage } from './bzimage.ts'
import { kernelOfEntry, sealEntry } from './entry.ts'
import type { Kernel } from './types.ts'

/** A folder in which a kernel was built (the source's own, or that of `make O=`). */
export interface BuildTree {
  readonly dir: string
  readonly image: string
  readonly release: string
  /** Modules it has built, for telling one build from another; empty when it has none. */
  readonly modules: readonly string[]
}

/** Looks at a folder. Throws a usage error for one in which no kernel was built, KernelbedError (host) for a build that is not finished. */
export function readBuildTree(dir: string): BuildTree {
  const image = ['x86', 'x86_64'].map((arch) => join(dir, 'arch', arch, 'boot/bzImage')).find((path) => existsSync(path))
  if (image === undefined) {
    if (existsSync(join(dir, 'Kconfig')) || existsSync(join(dir, '.config'))) throw usageError(`no kernel was built in ${dir}: it has no arch/x86/boot/bzImage`, 'build it there: make -j$(nproc) bzImage modules')
    throw usageError(`${dir} is a folder, but not one in which a kernel was built (no arch/x86/boot/bzImage)`, 'give a bzImage, a vmlinux, a .deb, or the folder of a kernel build')
  }
  const { release } = readBzImage(image)
  const named = join(dir, 'include/config/kernel.release')
  const current = existsSync(named) ? readFileSync(named, 'utf8').trim() : release
  if (current !== release) throw new KernelbedError(`the bzImage in ${dir} is of ${release}, but the tree is at ${current}`, { blame: 'host', hint: 'build it again: make bzImage modules' })
  return { dir, image, release, modules: builtModules(dir) }
}

/** Sizes and times of the modules that modules.order lists (`kernel/net/x.ko` before 5.8, then `net/x.ko`, `net/x.o` from 6.2 on). */
function builtModules(dir: string): string[] {
  const order = join(dir, 'modules.order')
  if (!existsSync(order)) return []
  return readFileSync(order, 'utf8').split('\n').flatMap((line) => {
    const path = line.trim().replace(/^kernel\//, '').replace(/\.o$/, '.ko')
    const stat = path === '' ? undefined : statSync(join(dir, path), { throwIfNoEntry: false })
    return stat ? [`${path} ${stat.size} ${stat.mtimeMs}`] : []
  })
}

/** The kernel of a build, with the modules that the tree's own `make modules_install` installs; copied, so that the tree can be built again meanwhile. */
export async function resolveBuildTree(tree: BuildTree, name: string | undefined, ctx: Context): Promise<Kernel> {
  const key = `tree-${sha256('1', tree.release, await sha256File(tree.image), ...tree.modules).slice(0, 16)}`
  const entry = await cached(ctx, 'kernels', key, (dir) => inStep(ctx.progress, `kernel ${tree.release} from ${tree.dir}`, async (step) => {
    copyFileSync(tree.image, join(dir, 'vmlinuz'))
    if (existsSync(join(tree.dir, '.config'))) copyFileSync(join(tree.dir, '.config'), join(dir, 'config'))
    if (tree.modules.length > 0) await installModules(tree, dir, ctx, (line) => step.update(line))
    await sealEntry(dir)
  }))
  return kernelOfEntry(entry, name, tree.dir)
}

async function installModules(tree: BuildTree, dir: string, ctx: Context, onLine: (line: string) => void): Promise<void> {
  mkdirSync(join(dir, 'lib/modules'), { recursive: true })
  // DEPMOD: the lists are made anew when the modules' disk is.
  await runCommand('make', ['-C', tree.dir, 'modules_install', `INSTALL_MOD_PATH=${dir}`, 'INSTALL_MOD_STRIP=1', 'DEPMOD=true'], { signal: ctx.signal, onLine, timeoutMs: 10 * 60_000, hint: `see what it prints by hand: make -C ${tree.dir} modules_install INSTALL_MOD_PATH=/tmp/modules (make is in the package make)` })
  const installed = readdirSync(join(dir, 'lib/modules'))
  if (!existsSync(join(dir, 'lib/modules', tree.release, 'kernel'))) throw new KernelbedError(`make modules_install in ${tree.dir} installed modules of ${installed.join(', ') || 'nothing'}, but the bzImage is of ${tree.release}`, { blame: 'host', hint: 'build it again: make bzImage modules' })
}
