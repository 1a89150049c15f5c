/** A member of an initramfs; folders first. `mode` has the file type's bits too (inode(7)). */
export interface CpioEntry {
  /** Without a leading slash. */
  readonly path: string
  readonly mode: number
  readonly content?: Buffer
  /** Major and minor number of a device. */
  readonly device?: readonly [number, number]
}

export const fileMode = { folder: 0o040000, file: 0o100000, charDevice: 0o020000, link: 0o120000 } as const

const padded = (buffer: Buffer): Buffer => Buffer.concat([buffer, Buffer.alloc((4 - (buffer.length % 4)) % 4)])

function member(entry: CpioEntry, inode: number): Buffer {
  const name = Buffer.from(`${entry.path}\0`)
  const content = entry.content ?? Buffer.alloc(0)
  const [major, minor] = entry.device ?? [0, 0]
  const links = (entry.mode & 0o170000) === fileMode.folder ? 2 : 1
  // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
  const fields = [inode, entry.mode, 0, 0, links, 0, content.length, 0, 0, major, minor, name.length, 0]
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`)
  return Buffer.concat([padded(Buffer.concat([header, name])), padded(content)])
}

/** A cpio archive in the kernel's `newc` format (Documentation/driver-api/early-userspace/buffer-format.rst), uncompressed: unpacking costs more than reading under emulation. */
export function cpio(entries: readonly CpioEntry[]): Buffer {
  const members = entries.map((entry, i) => member(entry, i + 1))
  const body = Buffer.concat([...members, member({ path: 'TRAILER!!!', mode: 0 }, 0)])
  return Buffer.concat([body, Buffer.alloc((512 - (body.length % 512)) % 512)])
}
