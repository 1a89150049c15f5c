import { closeSync, openSync, readSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { runCommand } from '../core/command.ts'
import type { Context } from '../core/context.ts'
import { KernelbedError } from '../core/errors.ts'
import { shellQuote } from '../core/shell-quote.ts'
import { searchPath } from './host-tools.ts'

/** What a disk is made of that boots by itself; files. */
export interface BootDiskSpec {
  /** A bzImage. */
  readonly kernel: string
  readonly initramfs?: string
  /** Of the kernel, without `root=` and `kb.modules=`. */
  readonly commandLine: string
  /** File systems, copied as they are. */
  readonly root: string
  readonly modules?: string
}

const MIB = 2 ** 20
/** First partition, where every partitioner begins it, and its size: a kernel and an initramfs of a few MiB each. */
const boot = { at: 1, size: 64 }

/** Where its files have the code for the master boot record (Debian's syslinux-common). */
export const mbrCode = '/usr/lib/syslinux/mbr/mbr.bin'

interface Partition { readonly at: number; readonly size: number; readonly from: string }

/** Partitions behind the first, MiB. */
function partitionsOf({ root, modules }: BootDiskSpec): Partition[] {
  const parts: Partition[] = []
  for (const from of [root, ...(modules === undefined ? [] : [modules])]) {
    const last = parts.at(-1) ?? boot
    parts.push({ at: last.at + last.size, size: Math.ceil(statSync(from).size / MIB), from })
  }
  return parts
}

/** `sda2` is the root file system: the disk is the machine's only one, on IDE or SATA. */
export const bootConfig = ({ commandLine, initramfs, modules }: BootDiskSpec): string => `DEFAULT kernelbed
PROMPT 0
LABEL kernelbed
  LINUX /vmlinuz
${initramfs === undefined ? '' : '  INITRD /initrd.img\n'}  APPEND root=/dev/sda2 ${modules === undefined ? '' : 'kb.modules=/dev/sda3 '}${commandLine}
`

/**
 * Writes a raw, sparse disk for a PC with a BIOS: a master boot record, a FAT partition with SYSLINUX, kernel and initramfs, then the root file system and the modules. No rights are needed for that.
 * Answers its size in bytes. Throws KernelbedError.
 */
export async function makeBootDisk(spec: BootDiskSpec, file: string, ctx: Context): Promise<number> {
  assertBzImage(spec.kernel)
  const parts = partitionsOf(spec)
  const last = parts.at(-1)!
  const size = (last.at + last.size) * MIB
  const config = join(dirname(file), 'syslinux.cfg')
  writeFileSync(config, bootConfig(spec))
  await runCommand('sh', ['-ec', script(spec, parts, { file, config, size })], { env: { PATH: searchPath(), LC_ALL: 'C', MTOOLS_SKIP_CHECK: '1' }, signal: ctx.signal, timeoutMs: 10 * 60_000 })
  return size
}

const sectors = (mib: number): number => (mib * MIB) / 512

function script({ kernel, initramfs }: BootDiskSpec, parts: readonly Partition[], { file, config, size }: { readonly file: string; readonly config: string; readonly size: number }): string {
  const disk = shellQuote(file)
  const fat = shellQuote(`${file}@@${boot.at}M`)
  const table = ['label: dos', `start=${sectors(boot.at)}, size=${sectors(boot.size)}, type=c, bootable`, ...parts.map(({ at, size: mib }) => `start=${sectors(at)}, size=${sectors(mib)}, type=83`)]
  const copies = [[kernel, 'vmlinuz'], ...(initramfs === undefined ? [] : [[initramfs, 'initrd.img']]), [config, 'syslinux.cfg']].map(([from, to]) => `mcopy -i ${fat} ${shellQuote(from!)} ::/${to}`)
  return [
    `truncate -s ${size} ${disk}`,
    `sfdisk -q --no-reread --no-tell-kernel ${disk} <<'END'\n${table.join('\n')}\nEND`,
    // The boot sector must know where on the disk it is.
    `mformat -i ${fat} -T ${sectors(boot.size)} -H ${sectors(boot.at)} -h 255 -s 63 -v KERNELBED ::`,
    ...copies,
    `syslinux --install --offset ${boot.at * MIB} ${disk}`,
    `dd if=${mbrCode} of=${disk} bs=440 count=1 conv=notrunc status=none`,
    ...parts.map(({ from, at }) => `dd if=${shellQuote(from)} of=${disk} bs=1M seek=${at} conv=notrunc,sparse status=none`),
  ].join('\n')
}

/** What a boot loader of a PC's BIOS can load (Documentation/x86/boot.rst: "HdrS" at 0x202). */
function assertBzImage(kernel: string): void {
  const magic = Buffer.alloc(4)
  const file = openSync(kernel, 'r')
  try {
    readSync(file, magic, 0, 4, 0x202)
  } finally {
    closeSync(file)
  }
  if (magic.toString('latin1') !== 'HdrS') throw new KernelbedError(`${kernel} is no bzImage, and a disk's boot loader takes no other`, { blame: 'usage', hint: 'give the bzImage of the same build: --kernel …/arch/x86/boot/bzImage' })
}
