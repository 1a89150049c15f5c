import { describe, expect, it } from 'vitest'
import { machineArgs } from './launch.ts'
import { disk, guestOptions, qemuArgs, quote, serialConsole, sshNic, wireNic } from './qemu.ts'
import type { MachineSpec } from './types.ts'

const spec: MachineSpec = {
  name: 'node2', index: 2, memoryMiB: 1024, cpus: 2, wireSocket: '/run/w2',
  kernel: { name: '6.1', release: '6.1.0', line: '6.1', image: '/k/vmlinuz', digest: 'd', source: 'test' },
  image: { disk: '/i/disk.raw', digest: 'd' }, boot: {},
}
const at = { port: 20022, qmp: '/run/q', consoleFile: '/r/console.log', publicKey: 'AAAAkey' }

/** The value after an option, each time it is given. */
const values = (args: readonly string[], option: string): string[] => args.filter((_, i) => args[i - 1] === option)

describe('QEMU command line', () => {
  it('gives a machine a shared disk in snapshot mode, two cards and its console', () => {
    const args = machineArgs(spec, 'tcg', undefined, at)
    expect(values(args, '-drive')).toEqual(['if=none,id=root,file=/i/disk.raw,format=raw,snapshot=on,cache=unsafe,werror=report'])
    expect(values(args, '-netdev')).toEqual(['user,id=ssh,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:20022-:22', 'stream,id=wire,server=on,addr.type=unix,addr.path=/run/w2'])
    expect(values(args, '-device')).toEqual(['virtio-rng-pci', 'virtio-blk-pci,drive=root', 'virtio-net-pci,netdev=ssh,mac=52:54:00:12:34:56,romfile=', 'virtio-net-pci,netdev=wire,mac=52:54:00:77:00:02,romfile='])
    expect(values(args, '-chardev')).toEqual(['file,id=console,append=on,path=/r/console.log'])
    expect(args).not.toContain('-initrd')
  })

  it('tells the guest its name, address on the wire and key', () => {
    const [append] = values(machineArgs(spec, 'tcg', undefined, at), '-append')
    expect(append).toContain('root=/dev/vda rw init=/sbin/kernelbed-init kb.name=node2 kb.wire=192.168.77.12/24 kb.key=AAAAkey')
    expect(append).toContain('console=ttyS0 panic=-1')
  })

  it('keeps vda for the root disk, vdb for modules, and marks the images disk by its serial number', () => {
    const args = machineArgs({ ...spec, boot: { initramfs: '/b/i', modulesDisk: '/b/m' }, imagesDisk: '/c/images.raw' }, 'tcg', undefined, at)
    expect(values(args, '-device').filter((d) => d.includes('blk'))).toEqual(['virtio-blk-pci,drive=root', 'virtio-blk-pci,drive=modules', 'virtio-blk-pci,drive=images,serial=kb-images'])
    expect(values(args, '-drive')[1]).toContain('readonly=on')
    expect(values(args, '-drive')[2]).toContain('snapshot=on')
    expect(values(args, '-initrd')).toEqual(['/b/i'])
  })

  it.each([['tcg', 'tcg,thread=single', 'Nehalem'], ['kvm', 'kvm', 'host']] as const)('uses the accelerator %s with its CPU model', (accel, accelArg, cpu) => {
    const args = qemuArgs({ name: 'n', accel, cpus: 3, memoryMiB: 512, kernel: '/k', append: [], devices: [] })
    expect(values(args, '-accel')).toEqual([accelArg])
    expect(values(args, '-cpu')[0]).toMatch(new RegExp(`^${cpu}`))
    expect(values(args, '-smp')).toEqual(['3'])
    expect(values(args, '-m')).toEqual(['512M'])
  })

  it('doubles commas in paths, which QEMU takes for separators', () => {
    expect(quote('/a,b')).toBe('/a,,b')
    expect(disk('x', '/a,b', 'readonly').args()[1]).toContain('file=/a,,b,')
    expect(serialConsole('/c,d').args()[1]).toContain('path=/c,,d')
    expect(wireNic('/e,f', 'm').args()[1]).toContain('addr.path=/e,,f')
  })

  it('reaches nothing but SSH from the first card', () => {
    expect(sshNic(1).args()[1]).toContain('restrict=on')
  })

  it('gives the wire address a /24', () => {
    expect(guestOptions('n', '10.0.0.1', 'k')).toContain('kb.wire=10.0.0.1/24')
  })
})
