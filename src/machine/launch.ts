import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from '../core/context.ts'
import { leasePort } from '../core/ports.ts'
import { inStep } from '../core/progress.ts'
import type { Claim } from '../core/registry.ts'
import type { Service, ServiceSpec } from '../core/service.ts'
import { wireAddress, wireMac } from './addresses.ts'
import { bootMachine } from './boot.ts'
import { runKey } from './keys.ts'
import { machineOver } from './machine.ts'
import { assertHostMemory } from './memory.ts'
import { FAST_BOOT, COARSE_TIMERS, disk, guestOptions, qemuArgs, qmpSocket, randomDevice, serialConsole, sshNic, wireNic, type Device } from './qemu.ts'
import type { SshSession } from './ssh-session.ts'
import { diskFiles, type DiskFiles } from './storage.ts'
import type { Accel, MachineHandle, MachineSpec, StartedMachine } from './types.ts'

/** Serial number of the images disk, by which the guest finds it (`/sys/block/vd?/serial`): its letter depends on the modules disk. */
export const IMAGES_SERIAL = 'kb-images'

export interface LaunchOptions {
  /** From QEMU's start to SSH. Default 60 s under TCG, 30 s under KVM. */
  readonly deadlineMs?: number
  /** A boot whose console is silent for so long is tried once more. Default 20 s. */
  readonly silenceMs?: number
}

/**
 * Boots a machine and waits for SSH. Its console is `<dir>/machines/<name>/console.log`. The guest goes on setting itself up meanwhile:
 * see waitForGuest. Throws BootError (what phase, whom to blame, the console's last lines), or KernelbedError when the host can't.
 */
export async function launchMachine(spec: MachineSpec, accel: Accel, ctx: Context, options: LaunchOptions = {}): Promise<StartedMachine> {
  assertHostMemory([spec])
  return inStep(ctx.progress, `${spec.name}: boot ${spec.kernel.name} (${accel})`, async (step) => {
    const dir = machineDir(spec, ctx)
    const plan = await planMachine(spec, accel, spec.savable ? await diskFiles(spec, dir, ctx) : undefined, ctx)
    const booted = await bootMachine(
      { ...plan, name: spec.name, deadlineMs: options.deadlineMs ?? (accel === 'tcg' ? 60_000 : 30_000), silenceMs: options.silenceMs ?? 20_000 },
      ctx,
      (phase) => step.update(phase),
    )
    return startedMachine(spec, accel, plan, booted)
  })
}

/** A machine of a plan that answers by `session`. `bootMs`: from exec of QEMU to that. */
export function startedMachine(spec: MachineSpec, accel: Accel, plan: MachinePlan, { service, session, bootMs }: { service: Service; session: SshSession; bootMs: number }): StartedMachine {
  const { name, release, line } = spec.kernel
  const handle: MachineHandle = { name: spec.name, index: spec.index, kernel: { name, release, line }, address: wireAddress(spec.index), mac: wireMac(spec.index), accel, ssh: plan.ssh, consoleFile: plan.consoleFile, qemu: { pid: service.pid, wireSocket: spec.wireSocket, qmpSocket: plan.qmp } }
  return {
    ...machineOver(session, handle),
    bootMs,
    stop: async () => {
      session.close()
      await service.stop()
      await plan.files.release()
    },
  }
}

/** QEMU of a machine that launchMachine started. Throws for a machine of Vagrant's, which callers don't pass. */
export function qemuOf({ name, qemu }: MachineHandle): NonNullable<MachineHandle['qemu']> {
  if (!qemu) throw new Error(`the QEMU of ${name} is not ours`)
  return qemu
}

/** Everything that QEMU is started with, claimed and written down. */
export interface MachinePlan {
  readonly ssh: MachineHandle['ssh']
  readonly consoleFile: string
  readonly qmp: string
  readonly qemu: ServiceSpec
  /** QEMU makes them; one that is there already is an earlier QEMU's. */
  readonly sockets: readonly string[]
  readonly files: Claim
}

/** Folder of what a machine leaves for people: console, QEMU's arguments. */
export function machineDir({ name }: Pick<MachineSpec, 'name'>, ctx: Context): string {
  const dir = join(ctx.dir, 'machines', name)
  mkdirSync(dir, { recursive: true })
  return dir
}

/**
 * Leases a port, claims the sockets, and puts together the command line. `disks`: the files that take what the guest writes to its disks; without, they are QEMU's own
 * and nobody can save them. `incoming`: for a machine whose state is loaded rather than booted.
 */
export async function planMachine(spec: MachineSpec, accel: Accel, disks: DiskFiles | undefined, ctx: Context, incoming = false): Promise<MachinePlan> {
  const key = runKey(ctx)
  const port = await leasePort(ctx)
  const dir = machineDir(spec, ctx)
  const qmp = join(ctx.sockets, `${spec.name}.qmp`)
  const sockets = [qmp, spec.wireSocket]
  const files = ctx.registry.claim(`sockets of ${spec.name}`, () => sockets.forEach((path) => rmSync(path, { force: true })))
  for (const path of sockets) files.hold({ kind: 'path', path })
  const consoleFile = join(dir, 'console.log')
  const args = machineArgs(spec, accel, disks, { port, qmp, consoleFile, publicKey: key.publicBlob, incoming })
  writeFileSync(join(dir, 'qemu.args'), `qemu-system-x86_64 \\\n  ${args.map((arg) => JSON.stringify(arg)).join(' \\\n  ')}\n`)
  return {
    ssh: { host: '127.0.0.1', port, user: 'root', keyFile: key.file },
    consoleFile, qmp, sockets, files,
    // TMPDIR: where QEMU makes the unlinked file that takes the guest's writes.
    qemu: { name: `machine ${spec.name}`, file: 'qemu-system-x86_64', args, logFile: join(ctx.dir, 'logs', `${spec.name}.qemu.log`), graceMs: 0, blame: 'hypervisor', env: { TMPDIR: dir } },
  }
}

/** QEMU's arguments for a machine. */
export function machineArgs(spec: MachineSpec, accel: Accel, disks: DiskFiles | undefined, at: { port: number; qmp: string; consoleFile: string; publicKey: string; incoming?: boolean }): string[] {
  return qemuArgs({
    name: spec.name,
    accel,
    cpus: spec.cpus,
    memoryMiB: spec.memoryMiB,
    ...(at.incoming === true ? { incoming: true } : {}),
    kernel: spec.kernel.image,
    ...(spec.boot.initramfs === undefined ? {} : { initrd: spec.boot.initramfs }),
    append: [...FAST_BOOT, ...COARSE_TIMERS[accel], ...guestOptions(spec.name, wireAddress(spec.index), at.publicKey)],
    devices: [
      serialConsole(at.consoleFile),
      randomDevice(),
      ...diskDevices(spec, disks),
      sshNic(at.port),
      spec.wirePeer === undefined ? wireNic(spec.wireSocket, wireMac(spec.index)) : wireNic(spec.wirePeer, wireMac(spec.index), 'connect'),
      qmpSocket(at.qmp),
    ],
  })
}

function diskDevices({ image, boot, imagesDisk }: MachineSpec, overlays: DiskFiles | undefined): Device[] {
  const modules = boot.modulesDisk === undefined ? [] : [disk('modules', boot.modulesDisk, 'readonly')]
  const root = overlays ? disk('root', overlays.root, 'overlay') : disk('root', image.disk, 'snapshot')
  const images = overlays?.images !== undefined ? [disk('images', overlays.images, 'overlay', IMAGES_SERIAL)] : imagesDisk === undefined ? [] : [disk('images', imagesDisk, 'snapshot', IMAGES_SERIAL)]
  return [root, ...modules, ...images]
}
