import { describe, expect, it } from 'vitest'
import { cpio, fileMode } from './cpio.ts'
import { initramfs } from './initramfs.ts'

/** Reads a newc archive back: name to mode and content. */
function members(archive: Buffer): Map<string, { mode: number; content: string; rdev: [number, number] }> {
  const found = new Map<string, { mode: number; content: string; rdev: [number, number] }>()
  const align = (n: number): number => (n + 3) & ~3
  for (let at = 0; ;) {
    expect(archive.toString('latin1', at, at + 6)).toBe('070701')
    const field = (i: number): number => parseInt(archive.toString('latin1', at + 6 + i * 8, at + 14 + i * 8), 16)
    const name = archive.toString('latin1', at + 110, at + 110 + field(11) - 1)
    const start = align(at + 110 + field(11))
    if (name === 'TRAILER!!!') return found
    found.set(name, { mode: field(1), content: archive.toString('latin1', start, start + field(6)), rdev: [field(9), field(10)] })
    at = align(start + field(6))
  }
}

describe('a cpio archive', () => {
  it('reads back what went in, whatever the lengths', () => {
    const entries = ['', 'a', 'ab', 'abc', 'abcd'].map((text, i) => ({ path: `d/${'n'.repeat(i + 1)}`, mode: fileMode.file | 0o644, content: Buffer.from(text) }))
    const read = members(cpio([{ path: 'd', mode: fileMode.folder | 0o755 }, ...entries]))
    expect(read.get('d')?.mode).toBe(0o040755)
    for (const { path, content } of entries) expect(read.get(path)).toMatchObject({ mode: 0o100644, content: content.toString() })
  })

  it('holds devices and ends on a block', () => {
    const archive = cpio([{ path: 'dev/console', mode: fileMode.charDevice | 0o600, device: [5, 1] }])
    expect(members(archive).get('dev/console')).toMatchObject({ mode: 0o020600, rdev: [5, 1] })
    expect(archive.length % 512).toBe(0)
  })
})

describe('the initramfs', () => {
  it('inserts the modules in the order given and goes on with our init', () => {
    const read = members(initramfs(Buffer.from('BB'), [{ name: 'virtio.ko', content: Buffer.from('1') }, { name: 'virtio_blk.ko', content: Buffer.from('2') }]))
    expect([...read.keys()]).toEqual(['bin', 'dev', 'modules', 'proc', 'root', 'dev/console', 'bin/busybox', 'init', 'modules/virtio.ko', 'modules/virtio_blk.ko'])
    expect(read.get('init')?.content).toContain('for module in virtio.ko virtio_blk.ko; do')
    expect(read.get('init')?.content).toContain('switch_root /root /sbin/kernelbed-init')
  })
})
