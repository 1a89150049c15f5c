import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LineProgress } from '../core/progress.ts'
import { Registry } from '../core/registry.ts'
import type { Context } from '../core/context.ts'
import { boxName, ensureBox, makeThinBox, type BoxSpec } from './box.ts'

let dir: string
let ctx: Context
let spec: BoxSpec

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'kb-'))
  ctx = { registry: new Registry(), progress: new LineProgress(() => undefined), dir, sockets: dir, cache: join(dir, 'cache'), signal: new AbortController().signal }
  const file = (name: string, content: string): string => (writeFileSync(join(dir, name), content), join(dir, name))
  const disk = file('disk.raw', 'root')
  truncateSync(disk, 1 << 20)
  spec = { kernel: { name: '6.1', release: '6.1.0', line: '6.1', image: file('bzImage', 'kernel'), digest: 'k', source: 'test' }, image: { disk, digest: 'i' }, boot: { initramfs: file('init', 'initramfs'), modulesDisk: file('modules.raw', 'm'.repeat(4096)) } }
})

afterEach(() => rmSync(dir, { recursive: true, force: true }))

function unpack(box: string): { files: string[]; read: (name: string) => string; info: (name: string) => { 'backing-filename'?: string; format: string; 'virtual-size': number } } {
  const to = mkdtempSync(join(dir, 'box-'))
  execFileSync('tar', ['-C', to, '-xf', box])
  return {
    files: execFileSync('ls', [to], { encoding: 'utf8' }).trim().split('\n'),
    read: (name) => readFileSync(join(to, name), 'utf8'),
    info: (name) => JSON.parse(execFileSync('qemu-img', ['info', '--output=json', join(to, name)], { encoding: 'utf8' })) as ReturnType<ReturnType<typeof unpack>['info']>,
  }
}

describe('a box', () => {
  it('has kernel, initramfs and disks, and says where they are', async () => {
    const { name, file } = await ensureBox(spec, ctx)
    const { files, read, info } = unpack(file)
    expect(name).toBe(boxName(spec))
    expect(files).toEqual(['Vagrantfile', 'initramfs.cpio', 'metadata.json', 'modules.qcow2', 'root.qcow2', 'vmlinuz'])
    expect(JSON.parse(read('metadata.json'))).toEqual({ provider: 'libvirt', format: 'qcow2', disks: [{ path: 'root.qcow2' }, { path: 'modules.qcow2' }] })
    expect(read('Vagrantfile')).toContain("libvirt.kernel = File.expand_path('vmlinuz', __dir__)")
    expect([read('vmlinuz'), read('initramfs.cpio')]).toEqual(['kernel', 'initramfs'])
    expect(info('root.qcow2')).toMatchObject({ format: 'qcow2', 'virtual-size': 1 << 20 })
    expect(info('root.qcow2')).not.toHaveProperty('backing-filename')
  })

  it('that is thin has overlays on the disks of the cache', async () => {
    const { info } = unpack((await makeThinBox(spec, join(dir, 'thin'), ctx)).file)
    expect(info('root.qcow2')['backing-filename']).toBe(spec.image.disk)
  })

  it('of a kernel without modules has neither initramfs nor their disk', async () => {
    const { files, read } = unpack((await makeThinBox({ ...spec, boot: {} }, join(dir, 'thin'), ctx)).file)
    expect(files).toEqual(['Vagrantfile', 'metadata.json', 'root.qcow2', 'vmlinuz'])
    expect(read('Vagrantfile')).not.toContain('initrd')
  })

  it('is called otherwise when anything in it changes', () => {
    expect(boxName({ ...spec, kernel: { ...spec.kernel, digest: 'other' } })).not.toBe(boxName(spec))
    expect(boxName({ ...spec, image: { ...spec.image, digest: 'other' } })).not.toBe(boxName(spec))
  })
})
