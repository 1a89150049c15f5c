/** The QEMU command line, as small devices that yield their arguments. Nothing here touches the host. */
import type { Accel } from './types.ts'

export interface Device {
  args(): readonly string[]
}

export interface QemuConfig {
  readonly name: string
  readonly accel: Accel
  readonly cpus: number
  readonly memoryMiB: number
  readonly kernel: string
  readonly initrd?: string
  readonly append: readonly string[]
  readonly devices: readonly Device[]
}

/** A path or name inside a comma-separated option: QEMU reads `,,` as a comma. */
export const quote = (text: string): string => text.replaceAll(',', ',,')

const device = (...args: readonly string[]): Device => ({ args: () => args })

/** A file that everything on the serial port is appended to. */
export const serialConsole = (file: string): Device => device('-chardev', `file,id=console,append=on,path=${quote(file)}`, '-serial', 'chardev:console')

/** Without it 4.9 waits for entropy before SSH answers. */
export const randomDevice = (): Device => device('-device', 'virtio-rng-pci')

/**
 * A raw disk. `snapshot`: what the guest writes goes to an unlinked file in TMPDIR, so the disk can be shared and nothing stays behind.
 * Errors are reported to the guest: QEMU would otherwise stop the machine without a word when the host's disk is full.
 */
export const disk = (id: string, file: string, mode: 'snapshot' | 'readonly', serial?: string): Device =>
  device(
    '-drive', `if=none,id=${id},file=${quote(file)},format=raw,cache=unsafe,werror=report${mode === 'snapshot' ? ',snapshot=on' : ',readonly=on'}`,
    '-device', `virtio-blk-pci,drive=${id}${serial === undefined ? '' : `,serial=${serial}`}`,
  )

/** User-mode networking that reaches nothing but SSH, from the host's loopback. */
export const sshNic = (hostPort: number): Device =>
  device('-netdev', `user,id=ssh,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:${hostPort}-:22`, '-device', 'virtio-net-pci,netdev=ssh,mac=52:54:00:12:34:56,romfile=')

/** A card whose frames go over a Unix socket that QEMU listens on (4-byte length before each). */
export const wireNic = (socket: string, mac: string): Device =>
  device('-netdev', `stream,id=wire,server=on,addr.type=unix,addr.path=${quote(socket)}`, '-device', `virtio-net-pci,netdev=wire,mac=${mac},romfile=`)

/** QEMU's own control socket. */
export const qmpSocket = (path: string): Device => device('-qmp', `unix:${quote(path)},server=on,wait=off`)

/** Five-level page tables make every page walk of an emulated machine longer. */
const CPU: Record<Accel, string> = { tcg: 'max,la57=off', kvm: 'host' }
const ACCEL: Record<Accel, string> = { tcg: 'tcg,thread=multi', kvm: 'kvm' }

/** All arguments of `qemu-system-x86_64`. A guest that panics or resets ends QEMU. */
export function qemuArgs(config: QemuConfig): string[] {
  return [
    '-name', quote(config.name),
    '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot',
    '-machine', 'q35,smm=off,vmport=off,hpet=off,memory-backend=ram',
    '-object', `memory-backend-ram,id=ram,size=${config.memoryMiB}M`,
    '-m', `${config.memoryMiB}M`,
    '-accel', ACCEL[config.accel],
    '-cpu', CPU[config.accel],
    '-smp', String(config.cpus),
    ...config.devices.flatMap((d) => d.args()),
    '-kernel', config.kernel,
    ...(config.initrd === undefined ? [] : ['-initrd', config.initrd]),
    '-append', config.append.join(' '),
  ]
}

/** Options that shorten a boot (measured, design.md), and `panic=-1`: a panic resets, which ends QEMU. */
export const FAST_BOOT = [
  'console=ttyS0', 'panic=-1', 'nokaslr', 'mitigations=off', 'nopti', 'audit=0', 'tsc=reliable', 'no_timer_check', 'random.trust_cpu=on',
  'rcupdate.rcu_expedited=1', '8250.nr_uarts=1', 'net.ifnames=0',
] as const

/** What the guest's init is told (docs/architecture.md, guest conventions). `key`: base64 of the public key blob. */
export const guestOptions = (name: string, address: string, key: string): string[] => ['root=/dev/vda', 'rw', 'init=/sbin/kernelbed-init', `kb.name=${name}`, `kb.wire=${address}/24`, `kb.key=${key}`]
