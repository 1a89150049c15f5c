import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { cached, sha256 } from '../core/cache.ts'
import { runCommand } from '../core/command.ts'
import { KernelbedError } from '../core/errors.ts'
import { inStep } from '../core/progress.ts'
import type { Context } from '../core/context.ts'
import type { Kernel } from '../kernels/types.ts'
import { ensureBusybox } from './busybox.ts'
import { mke2fs, rootScript } from './disk.ts'
import { searchPath } from './host-tools.ts'
import { initramfs } from './initramfs.ts'
import { insertionOrder, moduleName, parseModulesDep, worthKeeping, type ModuleDependencies } from './modules.ts'
import type { BootFiles } from './types.ts'

/**
 * What stands between the kernel and its root disk, network cards and random numbers, where it is not built in. ext4 asks for CRC32C by the name of the algorithm, so modules.dep does not have it;
 * the module's own name changed with 6.14.
 */
const bootModules = ['virtio_pci', 'virtio_blk', 'virtio_net', 'virtio_rng', 'crc32c_generic', 'crc32c', 'ext4'] as const

/** The same for a machine that is not QEMU's own: the disks of VirtualBox's controllers (PIIX4, AHCI) in place of virtio's. */
const diskModules = ['ata_piix', 'ahci', 'sd_mod', 'virtio_pci', 'virtio_net', 'crc32c_generic', 'crc32c', 'ext4'] as const

/** One of these must be there, as a module or built in, for such a disk to be seen. */
const diskControllers = ['ata_piix', 'ahci']

/**
 * What a kernel with modules needs beside the guest's disk: an initramfs that inserts the few that lead to the disk, and a disk of the others (those a node has a use
 * for). Nothing for a kernel without modules. Made once a kernel. Throws KernelbedError.
 */
export async function ensureBootFiles(kernel: Kernel, ctx: Context): Promise<BootFiles> {
  const { modules } = kernel
  if (modules === undefined) return {}
  const busybox = await ensureBusybox(ctx)
  const key = `boot-${kernel.line}-${sha256('1', kernel.digest, ...bootModules, ...diskModules, ...recipe()).slice(0, 16)}`
  const entry = await cached(ctx, 'images', key, (dir) =>
    inStep(ctx.progress, `modules of ${kernel.release}`, async (step) => {
      const tree = join(dir, 'tree/lib/modules', kernel.release)
      step.update('copying')
      copyModules(modules, tree)
      step.update('unpacking')
      await decompress(tree, ctx)
      const dependencies = await trim(join(dir, 'tree'), kernel.release, ctx)
      const write = (file: string, names: readonly string[]): void => {
        const inserts = insertionOrder(names, dependencies).map((path) => ({ name: path.split('/').at(-1) ?? path, content: readFileSync(join(tree, path)) }))
        writeFileSync(join(dir, file), initramfs(readFileSync(busybox), inserts))
      }
      write('initramfs.cpio', bootModules)
      if (hasDiskController(tree, dependencies)) write('initramfs-disk.cpio', diskModules)
      step.update('mke2fs')
      await rootScript(mke2fs(join(dir, 'tree/lib/modules'), join(dir, 'modules.raw'), diskSize(tree), 8192), ctx)
      rmSync(join(dir, 'tree'), { recursive: true })
    }))
  const diskInitramfs = join(entry, 'initramfs-disk.cpio')
  return { initramfs: join(entry, 'initramfs.cpio'), modulesDisk: join(entry, 'modules.raw'), ...(existsSync(diskInitramfs) ? { diskInitramfs } : {}) }
}

function hasDiskController(tree: string, dependencies: ModuleDependencies): boolean {
  const builtIn = existsSync(join(tree, 'modules.builtin')) ? readFileSync(join(tree, 'modules.builtin'), 'utf8').split('\n').map(moduleName) : []
  return [...[...dependencies.keys()].map(moduleName), ...builtIn].some((name) => diskControllers.includes(name))
}

/** The code that shapes the result, so that a change of it makes new files. */
const recipe = (): string[] => ['boot-files.ts', 'initramfs.ts', 'modules.ts', 'cpio.ts', 'disk.ts'].map((name) => readFileSync(join(import.meta.dirname, name), 'utf8'))

/** Modules and the lists of what is built in; not `build` and `source`, which lead elsewhere. */
function copyModules(from: string, to: string): void {
  for (const entry of readdirSync(from, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const relative = path.slice(from.length + 1)
    if (!/^(kernel|updates|extra)\//.test(relative) && !/^modules\.(builtin|order)/.test(relative)) continue
    mkdirSync(dirname(join(to, relative)), { recursive: true })
    copyFileSync(path, join(to, relative))
    // A distribution's read-only file must be removable.
    chmodSync(join(to, relative), 0o644)
  }
  if (!existsSync(join(to, 'kernel'))) throw new KernelbedError(`${from} holds no modules (no folder named kernel)`, { blame: 'usage', hint: 'give --modules a folder as `make modules_install` makes it: …/lib/modules/<release>' })
}

const filesOf = (dir: string, suffix: string): string[] =>
  readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile() && entry.name.endsWith(suffix)).map((entry) => join(entry.parentPath, entry.name))

/** In place: loading a compressed module costs the guest time, and an initramfs' insmod takes plain ones only. */
async function decompress(tree: string, ctx: Context): Promise<void> {
  const xz = filesOf(tree, '.ko.xz')
  for (let i = 0; i < xz.length; i += 500) await runCommand('xz', ['-d', '-q', ...xz.slice(i, i + 500)], { signal: ctx.signal })
  for (const [suffix, unpack] of [['.gz', gunzipSync], ['.zst', zstdDecompressSync]] as const) {
    for (const path of filesOf(tree, `.ko${suffix}`)) {
      writeFileSync(path.slice(0, -suffix.length), unpack(readFileSync(path)))
      rmSync(path)
    }
  }
}

/** Drops the modules that no node has a use for, and writes the lists that modprobe reads anew. */
async function trim(root: string, release: string, ctx: Context): Promise<ModuleDependencies> {
  const tree = join(root, 'lib/modules', release)
  const depmod = async (): Promise<ModuleDependencies> => {
    await runCommand('depmod', ['-b', root, release], { env: { PATH: searchPath() }, signal: ctx.signal })
    return parseModulesDep(readFileSync(join(tree, 'modules.dep'), 'utf8'))
  }
  const keep = worthKeeping(await depmod())
  for (const path of filesOf(tree, '.ko')) if (!keep.has(path.slice(tree.length + 1))) rmSync(path)
  return depmod()
}

/** Megabytes: the files' blocks and a fifth for metadata. */
function diskSize(tree: string): number {
  const bytes = readdirSync(tree, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).reduce((sum, entry) => sum + Math.ceil(statSync(join(entry.parentPath, entry.name)).size / 4096) * 4096, 0)
  return Math.ceil((bytes / 2 ** 20) * 1.2) + 8
}
