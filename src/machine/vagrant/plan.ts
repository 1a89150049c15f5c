import type { Box } from '../../image/index.ts'
import { wireAddress, wireMac } from '../addresses.ts'
import { COARSE_TIMERS, FAST_BOOT, guestOptions } from '../qemu.ts'
import type { Accel, MachineSpec } from '../types.ts'

/** What the project's Vagrantfile makes machines of; JSON. */
export interface VagrantPlan {
  /** Of libvirt; absent: as the user's environment and Vagrant have it. */
  readonly uri?: string
  /** User and group of disks, as libvirtd sees them; absent: the user. */
  readonly owner?: number
  /** Folder of disks; absent: libvirt's own. */
  readonly pool?: string
  /** Of the names of machines in libvirt, whose users share it. */
  readonly prefix: string
  readonly machines: readonly VagrantMachine[]
}

/** One machine of the plan. */
export interface VagrantMachine {
  readonly name: string
  readonly box: Box
  readonly memoryMiB: number
  readonly cpus: number
  readonly accel: Accel
  /** Of the kernel. */
  readonly commandLine: string
  readonly ssh: { readonly port: number; readonly keyFile: string }
  /** Its serial port goes there. */
  readonly console: string
  /** Arguments of QEMU beside libvirt's own: its cards. */
  readonly qemu: readonly string[]
  /** Environment of QEMU. */
  readonly env: Readonly<Record<string, string>>
}

/** Loopback ports of a machine: its SSH, and for each but the first the two ends of its way to the first. */
export interface VagrantPorts { readonly ssh: number; readonly link: { readonly first: number; readonly own: number } }

export type VagrantSpec = Pick<MachineSpec, 'name' | 'index' | 'memoryMiB' | 'cpus' | 'imagesDisk'> & { readonly accel: Accel; readonly box: Box; readonly ports: VagrantPorts; readonly console: string }

/** Machines as the plan has them. `key`: the key that opens them, and its public half. */
export const planMachines = (specs: readonly VagrantSpec[], key: { readonly file: string; readonly publicBlob: string }, env: Readonly<Record<string, string>> = {}): VagrantMachine[] =>
  specs.map((spec) => ({
    name: spec.name, box: spec.box, memoryMiB: spec.memoryMiB, cpus: spec.cpus, accel: spec.accel,
    commandLine: [...FAST_BOOT, ...COARSE_TIMERS[spec.accel], ...guestOptions(spec.name, wireAddress(spec.index), key.publicBlob)].join(' '),
    ssh: { port: spec.ports.ssh, keyFile: key.file }, console: spec.console, env,
    qemu: [...sshCard(spec.ports.ssh), ...wireCard(spec, specs), ...imagesDrive(spec)],
  }))

/** Slots on the machine's PCI bus (`pc`) that libvirt, which takes them from 2 on, leaves free: QEMU itself would take libvirt's. */
const slot = { ssh: 'bus=pci.0,addr=0x10', wire: 'bus=pci.0,addr=0x11', images: 'bus=pci.0,addr=0x12' } as const

/** QEMU's user networking, which reaches nothing and is reached on loopback only: no bridge, no DHCP, no rights on the host. */
const sshCard = (port: number): string[] => ['-netdev', `user,id=kbssh,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:${port}-:22`, '-device', `virtio-net-pci,netdev=kbssh,mac=52:54:00:12:34:56,romfile=,${slot.ssh}`]

/** The wire without a switch of ours: the first machine's QEMU is a hub, and each of the others reaches it by UDP on loopback. */
function wireCard({ index }: VagrantSpec, all: readonly VagrantSpec[]): string[] {
  const [first] = all
  const device = ['-device', `virtio-net-pci,netdev=kbwire,mac=${wireMac(index)},romfile=,${slot.wire}`]
  const socket = (id: string, { ports: { link } }: VagrantSpec, end: 'first' | 'own'): string => `socket,id=${id},udp=127.0.0.1:${end === 'first' ? link.own : link.first},localaddr=127.0.0.1:${link[end]}`
  if (index !== first?.index) return ['-netdev', socket('kbwire', all.find((spec) => spec.index === index)!, 'own'), ...device]
  const spokes = all.slice(1).flatMap((other) => ['-netdev', socket(`kblink${other.index}`, other, 'first'), '-netdev', `hubport,id=kbhub${other.index},hubid=0,netdev=kblink${other.index}`])
  return ['-netdev', 'hubport,id=kbwire,hubid=0', ...spokes, ...device]
}

const imagesDrive = ({ imagesDisk }: VagrantSpec): string[] =>
  imagesDisk === undefined ? [] : ['-drive', `if=none,id=kbimages,file=${imagesDisk.replaceAll(',', ',,')},format=raw,snapshot=on,cache=unsafe`, '-device', `virtio-blk-pci,drive=kbimages,serial=kb-images,${slot.images}`]

/** What the project's Vagrantfile makes of VirtualBox; JSON. */
export interface VirtualBoxPlan { readonly provider: 'virtualbox'; readonly machines: readonly VirtualBoxMachine[] }

/** One machine of it. The box has all else: command line, key, the card for SSH. */
export interface VirtualBoxMachine {
  readonly name: string
  /** In VirtualBox, whose users share its names. */
  readonly fullName: string
  readonly box: Box
  readonly memoryMiB: number
  readonly cpus: number
  /** On loopback. */
  readonly ssh: { readonly port: number }
  /** An internal network of VirtualBox' that these machines share, and the MAC there, twelve digits: by it the guest knows its number. */
  readonly wire: { readonly network: string; readonly mac: string }
  readonly console: string
}

export type VirtualBoxSpec = Pick<VagrantSpec, 'name' | 'index' | 'memoryMiB' | 'cpus' | 'box' | 'console'> & { readonly port: number }

/** Machines of VirtualBox'. `prefix`: of their names there. */
export const planVirtualBox = (specs: readonly VirtualBoxSpec[], prefix: string): VirtualBoxPlan => ({
  provider: 'virtualbox',
  machines: specs.map(({ name, index, memoryMiB, cpus, box, console, port }) => ({
    name, fullName: `${prefix}${name}`, box, memoryMiB, cpus, ssh: { port }, wire: { network: `${prefix}wire`, mac: wireMac(index).replaceAll(':', '').toUpperCase() }, console,
  })),
})
