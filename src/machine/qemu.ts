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
  /** The state comes over QMP (`migrate-incoming`) instead of from a boot. */
  readonly incoming?: boolean
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

/** `snapshot`: what the guest writes goes to an unlinked file in TMPDIR, so the disk can be shared and nothing stays behind. `overlay`: a qcow2 file of its own. */
export type DiskMode = 'snapshot' | 'readonly' | 'overlay'

const DISK_MODE: Record<DiskMode, string> = { snapshot: 'format=raw,snapshot=on', readonly: 'format=raw,readonly=on', overlay: 'format=qcow2' }

/** A disk. Errors are reported to the guest: QEMU would otherwise stop the machine without a word when the host's disk is full. */
export const disk = (id: string, file: string, mode: DiskMode, serial?: string): Device =>
  device(
    '-drive', `if=none,id=${id},file=${quote(file)},${DISK_MODE[mode]},cache=unsafe,werror=report`,
    '-device', `virtio-blk-pci,drive=${id}${serial === undefined ? '' : `,serial=${serial}`}`,
  )

/** User-mode networking that reaches nothing but SSH, from the host's loopback. */
export const sshNic = (hostPort: number): Device =>
  device('-netdev', `user,id=ssh,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:${hostPort}-:22`, '-device', 'virtio-net-pci,netdev=ssh,mac=52:54:00:12:34:56,romfile=')

/** A card whose frames go over a Unix stream socket (4-byte length before each), on which QEMU listens or, to another machine's, connects. */
export const wireNic = (socket: string, mac: string, role: 'listen' | 'connect' = 'listen'): Device =>
  device('-netdev', `stream,id=wire,server=${role === 'listen' ? 'on' : 'off'},addr.type=unix,addr.path=${quote(socket)}`, '-device', `virtio-net-pci,netdev=wire,mac=${mac},romfile=`)

/** QEMU's own control socket. */
export const qmpSocket = (path: string): Device => device('-qmp', `unix:${quote(path)},server=on,wait=off`)

/**
 * Emulated: an old processor. What newer ones have costs an emulator time at each switch of task or system call (XSAVE, SMAP, AVX, five-level page
 * tables) and gains nothing: docs/decisions.md has figures.
 */
const CPU: Record<Accel, string> = { tcg: 'Nehalem', kvm: 'host' }
/** One thread for all processors of an emulated machine: with one each, code that the guest changes is now and then not seen to change (docs/decisions.md, the guest that hung). */
const ACCEL: Record<Accel, string> = { tcg: 'tcg,thread=single', kvm: 'kvm' }

/** All arguments of `qemu-system-x86_64`. A guest that panics or resets ends QEMU. */
export function qemuArgs(config: QemuConfig): string[] {
  return [
    '-name', quote(config.name),
    '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot',
    '-machine', 'q35,smm=off,vmport=off,hpet=off,memory-backend=ram',
    // Anonymous memory gets huge pages from the host; memory in a file does not, and emulation is a quarter slower for it.
    '-object', `memory-backend-ram,id=ram,size=${config.memoryMiB}M`,
    '-m', `${config.memoryMiB}M`,
    '-accel', ACCEL[config.accel],
    '-cpu', CPU[config.accel],
    '-smp', String(config.cpus),
    ...config.devices.flatMap((d) => d.args()),
    '-kernel', config.kernel,
    ...(config.incoming === true ? ['-incoming', 'defer'] : []),
    ...(config.initrd === undefined ? [] : ['-initrd', config.initrd]),
    '-append', config.append.join(' '),
  ]
}

/** Options that shorten a boot (measured, design.md), and `panic=-1`: a panic resets, which ends QEMU. */
export const FAST_BOOT = [
  'console=ttyS0', 'panic=-1', 'nokaslr', 'mitigations=off', 'nopti', 'audit=0', 'tsc=reliable', 'no_timer_check', 'random.trust_cpu=on',
  'rcupdate.rcu_expedited=1', '8250.nr_uarts=1', 'net.ifnames=0',
] as const

/** An emulated guest's timers come with the tick: each finer one is an interrupt that costs more than what it interrupts (docs/decisions.md). */
export const COARSE_TIMERS: Record<Accel, readonly string[]> = { tcg: ['highres=off'], kvm: [] }

/** What the guest's init is told (docs/architecture.md, guest conventions). `key`: base64 of the public key blob. */
export const guestOptions = (name: string, address: string, key: string): string[] => ['root=/dev/vda', 'rw', 'init=/sbin/kernelbed-init', `kb.name=${name}`, `kb.wire=${address}/24`, `kb.key=${key}`]
