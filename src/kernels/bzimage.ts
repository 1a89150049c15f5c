import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { KernelbedError } from '../core/errors.ts'

/** What a bzImage's set-up header says (Documentation/arch/x86/boot.rst). */
export interface BzImage {
  /** As `uname -r` prints it. */
  readonly release: string
  /** The whole version string: release, builder, compiler, date. */
  readonly version: string
}

const sector = 512
/** Enough for the boot sector and the largest set-up code (64 sectors), which holds the version string. */
const headBytes = 65 * sector

/** Reads a kernel image's header. Throws KernelbedError (host) that says what the file is instead. */
export function readBzImage(path: string): BzImage {
  const file = openSync(path, 'r')
  try {
    const head = Buffer.alloc(headBytes)
    const length = readSync(file, head, 0, headBytes, 0)
    return parseBzImage(head.subarray(0, length), fstatSync(file).size, path)
  } finally {
    closeSync(file)
  }
}

/** `head`: the file's first 33 KiB (or all of it); `size`: its whole length in bytes. */
export function parseBzImage(head: Buffer, size: number, path: string): BzImage {
  if (head.length < 0x264 || head.toString('latin1', 0x202, 0x206) !== 'HdrS') throw notABzImage(head, size, path)
  // 0 means 4, for images older than the field.
  const setupSectors = head.readUInt8(0x1f1) || 4
  const needed = (setupSectors + 1) * sector + head.readUInt32LE(0x1f4) * 16
  if (size < needed) throw damaged(path, `truncated: it is ${size} bytes long, its header says ${needed}`)
  // Bit 0 of xloadflags (protocol 2.12): a 64-bit entry point.
  if (head.readUInt16LE(0x206) >= 0x20c && (head.readUInt16LE(0x236) & 1) === 0) throw damaged(path, 'a 32-bit x86 kernel; the machines are x86-64')
  const at = head.readUInt16LE(0x20e) + 0x200
  const end = head.indexOf(0, at)
  if (at === 0x200 || end === -1 || end === at) throw damaged(path, 'damaged: its header has no version string')
  const version = head.toString('latin1', at, end)
  const release = version.split(' ')[0] ?? ''
  if (!/^\d+\.\d+/.test(release)) throw damaged(path, `damaged: its version string is "${version.slice(0, 60)}"`)
  return { release, version }
}

/** First two numbers of a release: `6.1` of `6.1.0-40-cloud-amd64`. */
export const lineOf = (release: string): string => /^\d+\.\d+/.exec(release)?.[0] ?? release

const damaged = (path: string, what: string): KernelbedError =>
  new KernelbedError(`${path} is ${what}`, { blame: 'host', hint: what.startsWith('truncated') ? 'download or copy it again' : 'give an x86-64 bzImage (arch/x86/boot/bzImage of a build, /boot/vmlinuz-… of a distribution)' })

function notABzImage(head: Buffer, size: number, path: string): KernelbedError {
  const other = whatElse(head)
  return new KernelbedError(`${path} is not a Linux kernel image (no HdrS magic at 0x202)${size === 0 ? ': it is empty' : other === undefined ? '' : `: it is ${other}`}`, {
    blame: 'host',
    hint: 'give an x86-64 bzImage (arch/x86/boot/bzImage of a build, /boot/vmlinuz-… of a distribution)',
  })
}

const elfMachines: Readonly<Record<number, string>> = { 3: 'i386', 40: 'arm', 62: 'x86-64', 183: 'arm64', 243: 'riscv' }

/** What people pass by mistake; magic numbers from file(1). */
function whatElse(head: Buffer): string | undefined {
  if (head.length >= 20 && head.readUInt32BE(0) === 0x7f454c46) {
    const machine = elfMachines[head.readUInt16LE(18)] ?? `machine ${head.readUInt16LE(18)}`
    return machine === 'x86-64' ? 'an ELF file (vmlinux?) for x86-64; the bzImage made from it is needed' : `an ELF file for ${machine}; the machines are x86-64`
  }
  // Documentation/arch/arm64/booting.rst: "ARM\x64" at 56.
  if (head.length >= 60 && head.toString('latin1', 56, 60) === 'ARMd') return 'a kernel for arm64; the machines are x86-64'
  if (head.toString('latin1', 0, 7) === '!<arch>') return 'a package; a Debian package is taken when its name ends in .deb'
  if (head.length >= 2 && head.readUInt16BE(0) === 0x1f8b) return 'compressed with gzip (an arm64 vmlinuz or a tar.gz?)'
  if (/^\s*<(!doctype|html)/i.test(head.toString('latin1', 0, 64))) return 'a web page: the download went wrong'
  return undefined
}
