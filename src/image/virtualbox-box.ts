import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cached, sha256 } from '../core/cache.ts'
import { runCommand } from '../core/command.ts'
import type { Context } from '../core/context.ts'
import { KernelbedError } from '../core/errors.ts'
import { inStep } from '../core/progress.ts'
import { bootConfig, makeBootDisk, type BootDiskSpec } from './boot-disk.ts'
import type { Box, BoxSpec } from './box.ts'
import { ovf } from './ovf.ts'

/** The key that opens the machines of a box, which has it inside. */
export interface BoxKey { readonly privateFile: string; /** Base64, the middle word of a .pub file. */ readonly publicBlob: string }

/** Of a machine whose hypervisor is not told by us what to boot: on its screen too, and without what shortens an emulator's boot. */
const commandLine = ['rw', 'init=/sbin/kernelbed-init', 'console=tty0', 'console=ttyS0', 'panic=-1', 'net.ifnames=0', 'random.trust_cpu=on', 'audit=0'].join(' ')

/** Vagrant gives the first card of each machine this address; it must not be one of the wire's (52:54:00:77). */
const baseMac = '0800274B4201'

/** Of the box itself; the project's Vagrantfile, which adds the wire, overrides it. VirtualBox' NAT forwards to an address that it gave out, or to one that is named. */
const vagrantfile = `Vagrant.configure('2') do |config|
  config.vm.base_mac = '${baseMac}'
  config.vm.guest = :linux
  config.vm.boot_timeout = 600
  config.vm.synced_folder '.', '/vagrant', disabled: true
  config.vm.network :forwarded_port, id: 'ssh', guest: 22, guest_ip: '10.0.2.15', host: 2222, host_ip: '127.0.0.1', auto_correct: true
  config.ssh.username = 'root'
  config.ssh.insert_key = false
  config.ssh.private_key_path = File.expand_path('id_ed25519', __dir__)
  config.ssh.shell = 'sh'
  config.ssh.sudo_command = '%c'
  config.vm.provider :virtualbox do |virtualbox|
    virtualbox.customize ['modifyvm', :id, '--nictype1', 'virtio', '--audio', 'none', '--rtcuseutc', 'on']
    virtualbox.check_guest_additions = false
    virtualbox.functional_vboxsf = false
  end
end
`

const digestOf = ({ kernel, image, boot }: BoxSpec): string => sha256('1', kernel.digest, image.digest, boot.diskInitramfs ?? '', commandLine, vagrantfile, bootConfig({ kernel: '', root: '', commandLine }), ovf({ name: '', disk: '', capacity: 0, memoryMiB: 0, cpus: 0 })).slice(0, 16)

/**
 * A box of Vagrant's provider `virtualbox`: a machine whose one disk boots by itself, since VirtualBox loads no kernel. Made once. `newKey` makes the key that is in it. Throws KernelbedError, for a
 * kernel without a driver for such a disk too.
 */
export async function ensureVirtualBoxBox(spec: BoxSpec, newKey: () => BoxKey, ctx: Context): Promise<Box> {
  const { kernel, boot } = spec
  if (kernel.modules !== undefined && boot.diskInitramfs === undefined) throw new KernelbedError(`${kernel.release} has no driver for the disks of VirtualBox' machines (ata_piix, ahci)`, { blame: 'guest kernel', hint: 'use another kernel, or the provider libvirt, whose disks are virtio' })
  const name = `kernelbed-${kernel.line}-${digestOf(spec)}`
  const entry = await cached(ctx, 'images', `box-virtualbox-${kernel.line}-${digestOf(spec)}`, (dir) => inStep(ctx.progress, `box of ${kernel.name} for VirtualBox`, async (step) => {
    const [raw, parts] = [join(dir, 'disk.raw'), join(dir, 'parts')]
    const key = newKey()
    step.update('disk')
    const capacity = await makeBootDisk(diskOf(spec, key), raw, ctx)
    step.update('VMDK')
    mkdirSync(parts)
    await runCommand('qemu-img', ['convert', '-f', 'raw', '-O', 'vmdk', '-o', 'subformat=streamOptimized,adapter_type=ide', raw, join(parts, 'box-disk001.vmdk')], { signal: ctx.signal, timeoutMs: 15 * 60_000 })
    rmSync(raw)
    writeFileSync(join(parts, 'box.ovf'), ovf({ name, disk: 'box-disk001.vmdk', capacity, memoryMiB: 1536, cpus: 2 }))
    writeFileSync(join(parts, 'id_ed25519'), key.privateFile, { mode: 0o600 })
    writeFileSync(join(parts, 'Vagrantfile'), vagrantfile)
    writeFileSync(join(parts, 'metadata.json'), JSON.stringify({ provider: 'virtualbox' }))
    await runCommand('tar', ['-C', parts, '-cf', join(dir, `${name}.box`), '.'], { signal: ctx.signal, timeoutMs: 10 * 60_000 })
    rmSync(parts, { recursive: true })
    rmSync(join(dir, 'syslinux.cfg'), { force: true })
  }))
  return { name, file: join(entry, `${name}.box`) }
}

const diskOf = ({ kernel, image, boot }: BoxSpec, { publicBlob }: BoxKey): BootDiskSpec => ({
  kernel: kernel.image, root: image.disk, commandLine: `${commandLine} kb.key=${publicBlob}`,
  ...(boot.diskInitramfs === undefined ? {} : { initramfs: boot.diskInitramfs }),
  ...(boot.modulesDisk === undefined ? {} : { modules: boot.modulesDisk }),
})
