import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { KernelbedError } from '../core/errors.ts'

/** What is known of a vmlinux that can be booted. */
export interface Vmlinux {
  /** As `uname -r` prints it. */
  readonly release: string
}

const elfMagic = 0x7f454c46
const machineX86 = 62
const segmentNote = 4
/** XEN_ELFNOTE_PHYS32_ENTRY (include/xen/interface/elfnote.h): where a PVH boot begins; present with CONFIG_PVH (5.0, before it CONFIG_XEN_PVH, 4.11). */
const notePhys32Entry = 18

/** Whether the file is an ELF file for x86-64. */
export function isX86Elf(path: string): boolean {
  return withFile(path, (read) => {
    const head = read(0, 20)
    return head.length === 20 && head.readUInt32BE(0) === elfMagic && head.readUInt8(4) === 2 && head.readUInt16LE(18) === machineX86
  })
}

/** Reads an x86-64 vmlinux. Throws KernelbedError (host) for one that QEMU can't boot, or that is no kernel. */
export function readVmlinux(path: string): Vmlinux {
  return withFile(path, (read, size) => {
    const release = findRelease(read, size)
    if (release === undefined) throw new KernelbedError(`${path} is an ELF file for x86-64, but no Linux kernel ("Linux version" is not in it)`, { blame: 'host', hint: 'give vmlinux or arch/x86/boot/bzImage of a kernel build' })
    if (!hasPvhEntry(read)) throw new KernelbedError(`${path} (${release}) has no PVH entry (XEN_ELFNOTE_PHYS32_ENTRY), so QEMU can't boot it`, { blame: 'host', hint: 'give the bzImage made from it: arch/x86/boot/bzImage of the build; or build it with CONFIG_PVH (5.0 and later)' })
    return { release }
  })
}

type Read = (at: number, length: number) => Buffer

function withFile<T>(path: string, body: (read: Read, size: number) => T): T {
  const file = openSync(path, 'r')
  try {
    return body((at, length) => {
      const buffer = Buffer.alloc(length)
      return buffer.subarray(0, readSync(file, buffer, 0, length, at))
    }, fstatSync(file).size)
  } finally {
    closeSync(file)
  }
}

/** The banner that /proc/version prints, in .rodata. */
function findRelease(read: Read, size: number): string | undefined {
  const [step, overlap] = [4 * 2 ** 20, 256]
  for (let at = 0; at < size; at += step) {
    const release = /Linux version (\d+\.\d+[^\s%]*) \(/.exec(read(at, step + overlap).toString('latin1'))?.[1]
    if (release !== undefined) return release
  }
  return undefined
}

/** Looks through the ELF notes (elf(5)): each has the lengths of its name and content, a type, and both padded to 4 bytes. */
function hasPvhEntry(read: Read): boolean {
  const head = read(0, 64)
  if (head.length < 64) return false
  const [tableAt, entrySize, entries] = [Number(head.readBigUInt64LE(32)), head.readUInt16LE(54), head.readUInt16LE(56)]
  for (let i = 0; i < entries; i++) {
    const segment = read(tableAt + i * entrySize, 56)
    if (segment.length < 56 || segment.readUInt32LE(0) !== segmentNote) continue
    const notes = read(Number(segment.readBigUInt64LE(8)), Math.min(Number(segment.readBigUInt64LE(32)), 2 ** 20))
    for (let at = 0; at + 12 <= notes.length;) {
      const [nameSize, size, type] = [notes.readUInt32LE(at), notes.readUInt32LE(at + 4), notes.readUInt32LE(at + 8)]
      if (type === notePhys32Entry && notes.toString('latin1', at + 12, at + 12 + nameSize) === 'Xen\0') return true
      at += 12 + padded(nameSize) + padded(size)
    }
  }
  return false
}

const padded = (size: number): number => (size + 3) & ~3
