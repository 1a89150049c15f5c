import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cached, sha256 } from '../core/cache.ts'
import { runCommand } from '../core/command.ts'
import type { Context } from '../core/context.ts'
import { inStep } from '../core/progress.ts'
import type { Kernel } from '../kernels/types.ts'
import type { BootFiles, GuestImage } from './types.ts'

/** A box of Vagrant's provider `libvirt`, for `vm.box` and `vm.box_url`. */
export interface Box {
  readonly name: string
  /** A tar with metadata.json, Vagrantfile, kernel, initramfs and disks. */
  readonly file: string
}

/** What a box is made of. */
export interface BoxSpec { readonly kernel: Kernel; readonly image: GuestImage; readonly boot: BootFiles }

/** Of the box itself: its kernel is beside it. How a machine is otherwise is for the project's Vagrantfile to say, which overrides this one. */
const vagrantfile = ({ boot }: BoxSpec): string => `Vagrant.configure('2') do |config|
  config.vm.provider :libvirt do |libvirt|
    libvirt.kernel = File.expand_path('vmlinuz', __dir__)
${boot.initramfs === undefined ? '' : "    libvirt.initrd = File.expand_path('initramfs.cpio', __dir__)\n"}  end
end
`

const disksOf = ({ image, boot }: BoxSpec): [string, string][] => [['root.qcow2', image.disk], ...(boot.modulesDisk === undefined ? [] : [['modules.qcow2', boot.modulesDisk] as [string, string]])]

const digestOf = (spec: BoxSpec): string => sha256('1', spec.kernel.digest, spec.image.digest, spec.boot.initramfs ?? '', vagrantfile(spec)).slice(0, 16)

/** What a box is called: names the kernel, and everything that is in it. */
export const boxName = (spec: BoxSpec): string => `kernelbed-${spec.kernel.line}-${digestOf(spec)}`

/** A box that has all in it, made once: for machines that outlive what is in the cache, here or elsewhere. Throws KernelbedError. */
export async function ensureBox(spec: BoxSpec, ctx: Context): Promise<Box> {
  const name = boxName(spec)
  const entry = await cached(ctx, 'images', `box-${spec.kernel.line}-${digestOf(spec)}`, (dir) => inStep(ctx.progress, `box of ${spec.kernel.name}`, async (step) => {
    await pack(spec, join(dir, `${name}.box`), (disk, to) => {
      step.update(disk)
      return runCommand('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', disk, to], { signal: ctx.signal, timeoutMs: 10 * 60_000 })
    }, ctx)
  }))
  return { name, file: join(entry, `${name}.box`) }
}

/** A box of a few hundred kilobytes beside its kernel, whose disks are overlays on those of the cache: for machines that go with the run. Throws KernelbedError. */
export async function makeThinBox(spec: BoxSpec, dir: string, ctx: Context): Promise<Box> {
  const name = boxName(spec)
  mkdirSync(dir, { recursive: true })
  const file = join(dir, `${name}.box`)
  await pack(spec, file, (disk, to) => runCommand('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', disk, to], { signal: ctx.signal }), ctx)
  return { name, file }
}

async function pack(spec: BoxSpec, file: string, makeDisk: (disk: string, to: string) => Promise<unknown>, ctx: Context): Promise<void> {
  const parts = `${file}.parts`
  mkdirSync(parts, { recursive: true })
  try {
    const disks = disksOf(spec)
    for (const [name, disk] of disks) await makeDisk(disk, join(parts, name))
    copyFileSync(spec.kernel.image, join(parts, 'vmlinuz'))
    if (spec.boot.initramfs !== undefined) copyFileSync(spec.boot.initramfs, join(parts, 'initramfs.cpio'))
    writeFileSync(join(parts, 'Vagrantfile'), vagrantfile(spec))
    writeFileSync(join(parts, 'metadata.json'), JSON.stringify({ provider: 'libvirt', format: 'qcow2', disks: disks.map(([path]) => ({ path })) }))
    await runCommand('tar', ['-C', parts, '--sparse', '-cf', file, '.'], { signal: ctx.signal, timeoutMs: 10 * 60_000 })
  } finally {
    rmSync(parts, { recursive: true, force: true })
  }
}
