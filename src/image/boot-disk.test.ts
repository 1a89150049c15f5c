import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Context } from '../core/context.ts'
import { LineProgress } from '../core/progress.ts'
import { Registry } from '../core/registry.ts'
import { bootConfig, makeBootDisk } from './boot-disk.ts'
import type { BoxSpec } from './box.ts'
import { searchPath } from './host-tools.ts'
import { ovf } from './ovf.ts'
import { ensureVirtualBoxBox } from './virtualbox-box.ts'

const MIB = 2 ** 20
let dir: string
let ctx: Context

/** A file of this length, which begins with a text. */
const file = (name: string, begins: string, length: number): string => {
  writeFileSync(join(dir, name), begins)
  truncateSync(join(dir, name), length)
  return join(dir, name)
}
/** As the boot protocol has it: "HdrS" at 0x202. */
const bzImage = (): string => file('bzImage', `${'\0'.repeat(0x202)}HdrS`, 9000)
const run = (program: string, ...args: string[]): string => execFileSync(program, args, { encoding: 'utf8', env: { ...process.env, PATH: searchPath(), MTOOLS_SKIP_CHECK: '1' } })
const at = (disk: string, offset: number, length: number): Buffer => {
  const bytes = Buffer.alloc(length)
  const open = openSync(disk, 'r')
  readSync(open, bytes, 0, length, offset)
  closeSync(open)
  return bytes
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "kb-it's-"))
  ctx = { registry: new Registry(), progress: new LineProgress(() => undefined), dir, sockets: dir, cache: join(dir, 'cache'), signal: new AbortController().signal }
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

describe('a disk that boots by itself', () => {
  it('has a boot loader, and behind it the file systems as they were', async () => {
    const disk = join(dir, 'disk.raw')
    const size = await makeBootDisk({ kernel: bzImage(), initramfs: file('init', 'initramfs', 5000), commandLine: 'rw', root: file('root', 'the root', 3 * MIB), modules: file('modules', 'the modules', 2 * MIB - 100) }, disk, ctx)
    expect(size).toBe(70 * MIB)
    expect(statSync(disk).size).toBe(size)
    const { partitiontable: { label, partitions } } = JSON.parse(run('sfdisk', '--json', disk)) as { partitiontable: { label: string; partitions: { start: number; size: number; type: string; bootable?: boolean }[] } }
    expect(label).toBe('dos')
    expect(partitions.map(({ start, size: length, type, bootable }) => [start / 2048, length / 2048, type, bootable ?? false])).toEqual([[1, 64, 'c', true], [65, 3, '83', false], [68, 2, '83', false]])
    expect(at(disk, 0, 440).equals(readFileSync('/usr/lib/syslinux/mbr/mbr.bin').subarray(0, 440))).toBe(true)
    expect(at(disk, MIB + 3, 8).toString('latin1')).toBe('SYSLINUX')
    // Sectors before the partition: without them the loader looks for itself at the beginning of the disk.
    expect(at(disk, MIB + 0x1c, 4).readUInt32LE()).toBe(2048)
    expect([at(disk, 65 * MIB, 8).toString(), at(disk, 68 * MIB, 11).toString()]).toEqual(['the root', 'the modules'])
    expect(run('mdir', '-a', '-b', '-i', `${disk}@@1M`, '::/').toLowerCase().split('\n').filter(Boolean).sort()).toEqual(['::/initrd.img', '::/ldlinux.c32', '::/ldlinux.sys', '::/syslinux.cfg', '::/vmlinuz'])
    expect(run('mtype', '-i', `${disk}@@1M`, '::/syslinux.cfg')).toContain('APPEND root=/dev/sda2 kb.modules=/dev/sda3 rw\n')
  })

  it('of a kernel without modules says nothing of them', () => {
    expect(bootConfig({ kernel: 'k', root: 'r', commandLine: 'rw' })).toBe('DEFAULT kernelbed\nPROMPT 0\nLABEL kernelbed\n  LINUX /vmlinuz\n  APPEND root=/dev/sda2 rw\n')
  })

  it('is not made of what a boot loader cannot load', async () => {
    await expect(makeBootDisk({ kernel: file('vmlinux', '\x7fELF', 9000), commandLine: '', root: file('root', '', MIB) }, join(dir, 'disk.raw'), ctx)).rejects.toMatchObject({ blame: 'usage', message: expect.stringMatching(/vmlinux is no bzImage/) as string })
  })
})

describe('a box for VirtualBox', () => {
  const spec = (): BoxSpec => ({
    kernel: { name: '6.1', release: '6.1.0', line: '6.1', image: bzImage(), digest: 'k', source: 'test', modules: dir },
    image: { disk: file('disk.raw', 'the root', MIB), digest: 'i' }, boot: { diskInitramfs: file('init', 'initramfs', 5000), modulesDisk: file('modules.raw', 'm', MIB) },
  })
  const key = { privateFile: 'private\n', publicBlob: 'AAAApublic' }

  it('has all that its machine needs: descriptor, disk, key, and how SSH gets in', async () => {
    const { name, file: box } = await ensureVirtualBoxBox(spec(), () => key, ctx)
    const to = mkdtempSync(join(dir, 'box-'))
    run('tar', '-C', to, '-xf', box)
    const read = (member: string): string => readFileSync(join(to, member), 'utf8')
    expect(run('ls', to).trim().split('\n')).toEqual(['Vagrantfile', 'box-disk001.vmdk', 'box.ovf', 'id_ed25519', 'metadata.json'])
    expect(JSON.parse(read('metadata.json'))).toEqual({ provider: 'virtualbox' })
    expect(read('id_ed25519')).toBe('private\n')
    expect(read('Vagrantfile')).toContain("guest_ip: '10.0.2.15'")
    expect(read('box.ovf')).toContain(`<VirtualSystem ovf:id="${name}">`)
    expect(read('box.ovf')).toContain(`ovf:capacity="${67 * MIB}"`)
    expect(JSON.parse(run('qemu-img', 'info', '--output=json', join(to, 'box-disk001.vmdk')))).toMatchObject({ format: 'vmdk', 'virtual-size': 67 * MIB, 'format-specific': { data: { 'create-type': 'streamOptimized' } } })
    run('qemu-img', 'convert', '-O', 'raw', join(to, 'box-disk001.vmdk'), join(to, 'back.raw'))
    expect(run('mtype', '-i', `${join(to, 'back.raw')}@@1M`, '::/syslinux.cfg')).toMatch(/^ {2}APPEND root=\/dev\/sda2 kb\.modules=\/dev\/sda3 .*kb\.key=AAAApublic$/m)
  })

  it('is made once, with one key', async () => {
    const [first, again] = [await ensureVirtualBoxBox(spec(), () => key, ctx), await ensureVirtualBoxBox(spec(), () => { throw new Error('another key') }, ctx)]
    expect(again).toEqual(first)
  })

  it('is not made of a kernel that would not see its disk', async () => {
    const { kernel, image } = spec()
    await expect(ensureVirtualBoxBox({ kernel, image, boot: {} }, () => key, ctx)).rejects.toMatchObject({ blame: 'guest kernel', message: '6.1.0 has no driver for the disks of VirtualBox\' machines (ata_piix, ahci)' })
  })
})

describe('the descriptor of a virtual machine', () => {
  const text = ovf({ name: 'a<b', disk: 'd.vmdk', capacity: 7, memoryMiB: 512, cpus: 3 })

  it('has its elements in the order of the alphabet, as its schema wants them', () => {
    for (const [, item = ''] of text.matchAll(/<Item>(.*?)<\/Item>/gs)) {
      const names = [...item.matchAll(/<rasd:(\w+)>/g)].map(([, name]) => name!)
      expect(names).toEqual([...names].sort())
      expect(names).toEqual(expect.arrayContaining(['ElementName', 'InstanceID', 'ResourceType']))
    }
  })

  it('has the disk on the controller, by its number', () => {
    const items = [...text.matchAll(/<Item>(.*?)<\/Item>/gs)].map(([, item = '']) => new Map([...item.matchAll(/<rasd:(\w+)>(.*?)<\//g)].map(([, name, value]) => [name, value])))
    const disk = items.find((item) => item.get('ResourceType') === '17')!
    expect(disk.get('HostResource')).toBe('/disk/vmdisk1')
    expect(items.find((item) => item.get('InstanceID') === disk.get('Parent'))!.get('ResourceSubType')).toBe('PIIX4')
    expect(items.map((item) => item.get('InstanceID'))).toEqual(['1', '2', '3', '4', '5'])
  })

  it('is XML whatever the name', () => expect(text).toContain('ovf:id="a&lt;b"'))
})
