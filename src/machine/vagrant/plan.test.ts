import { describe, expect, it } from 'vitest'
import { assertVirtualBox } from './command.ts'
import { planMachines, planVirtualBox, type VagrantSpec } from './plan.ts'

const spec = (index: number, more: Partial<VagrantSpec> = {}): VagrantSpec => ({
  name: `node${index}`, index, memoryMiB: 1024, cpus: 1, accel: 'tcg', box: { name: 'kernelbed-6.1-d', file: '/b/kernelbed-6.1-d.box' }, console: `/c/node${index}`,
  ports: { ssh: 20000 + index * 10, link: { first: 20001 + index * 10, own: 20002 + index * 10 } }, ...more,
})
const key = { file: '/k/id_ed25519', publicBlob: 'AAAAkey' }

/** The value after an option, each time it is given. */
const values = (args: readonly string[], option: string): string[] => args.filter((_, i) => args[i - 1] === option)

describe('machines of Vagrant', () => {
  it('are reached on loopback only, and reach nothing', () => {
    for (const { qemu, ssh } of planMachines([spec(1), spec(2), spec(3)], key)) {
      const [card, ...others] = values(qemu, '-netdev')
      expect(card).toBe(`user,id=kbssh,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:${ssh.port}-:22`)
      for (const other of others) expect(other).toMatch(/^(hubport,|socket,id=\w+,udp=127\.0\.0\.1:\d+,localaddr=127\.0\.0\.1:\d+$)/)
    }
  })

  it('have a wire whose hub is the first of them', () => {
    const [first, second, third] = planMachines([spec(1), spec(2), spec(3)], key)
    expect(values(first!.qemu, '-netdev').slice(1)).toEqual([
      'hubport,id=kbwire,hubid=0',
      'socket,id=kblink2,udp=127.0.0.1:20022,localaddr=127.0.0.1:20021', 'hubport,id=kbhub2,hubid=0,netdev=kblink2',
      'socket,id=kblink3,udp=127.0.0.1:20032,localaddr=127.0.0.1:20031', 'hubport,id=kbhub3,hubid=0,netdev=kblink3',
    ])
    expect(values(second!.qemu, '-netdev').slice(1)).toEqual(['socket,id=kbwire,udp=127.0.0.1:20021,localaddr=127.0.0.1:20022'])
    expect(values(third!.qemu, '-netdev').slice(1)).toEqual(['socket,id=kbwire,udp=127.0.0.1:20031,localaddr=127.0.0.1:20032'])
    expect(values(third!.qemu, '-device')).toEqual(['virtio-net-pci,netdev=kbssh,mac=52:54:00:12:34:56,romfile=,bus=pci.0,addr=0x10', 'virtio-net-pci,netdev=kbwire,mac=52:54:00:77:00:03,romfile=,bus=pci.0,addr=0x11'])
  })

  it('boot with what the guest must know of itself, as those of kernelbed do', () => {
    const [machine] = planMachines([spec(2)], key)
    expect(machine!.commandLine).toContain('root=/dev/vda rw init=/sbin/kernelbed-init kb.name=node2 kb.wire=192.168.77.12/24 kb.key=AAAAkey')
    expect(machine!.commandLine).toContain('highres=off')
  })

  it('have the containers\' disk under the name by which nodes find it, if there is one', () => {
    expect(values(planMachines([spec(1)], key)[0]!.qemu, '-drive')).toEqual([])
    const [{ qemu } = { qemu: [] }] = planMachines([spec(1, { imagesDisk: '/cache/a,b/disk.raw' })], key)
    expect(values(qemu, '-drive')).toEqual(['if=none,id=kbimages,file=/cache/a,,b/disk.raw,format=raw,snapshot=on,cache=unsafe'])
    expect(values(qemu, '-device')).toContain('virtio-blk-pci,drive=kbimages,serial=kb-images,bus=pci.0,addr=0x12')
  })
})

describe('machines of VirtualBox', () => {
  it('share a network of their own, on which their MACs number them', () => {
    const { box, console } = spec(1)
    expect(planVirtualBox([1, 2].map((index) => ({ name: `node${index}`, index, memoryMiB: 1024, cpus: 2, box, console, port: 20000 + index })), 'kb-1-')).toEqual({
      provider: 'virtualbox',
      machines: [1, 2].map((index) => ({ name: `node${index}`, fullName: `kb-1-node${index}`, box, memoryMiB: 1024, cpus: 2, console, ssh: { port: 20000 + index }, wire: { network: 'kb-1-wire', mac: `52540077000${index}` } })),
    })
  })

  it('are refused, with what to do, where there is no VirtualBox', () => {
    expect(() => assertVirtualBox(() => false)).toThrow(expect.objectContaining({ blame: 'host', message: 'VirtualBox is not installed: there is no program VBoxManage', hint: expect.stringContaining('VAGRANT_DEFAULT_PROVIDER') as string }) as Error)
    expect(() => assertVirtualBox((program) => program === 'VBoxManage')).not.toThrow()
  })
})
