import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { leasePort } from '../core/ports.ts'
import { inStep } from '../core/progress.ts'
import { wireAddress, wireMac } from './addresses.ts'
import { bootMachine } from './boot.ts'
import { runKey } from './keys.ts'
import { machineOver } from './machine.ts'
import { assertHostMemory } from './memory.ts'
import { FAST_BOOT, disk, guestOptions, qemuArgs, qmpSocket, randomDevice, serialConsole, sshNic, wireNic } from './qemu.ts'
import type { Context } from '../core/context.ts'
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
    const key = runKey(ctx)
    const port = await leasePort(ctx)
    const dir = join(ctx.dir, 'machines', spec.name)
    const qmp = join(ctx.sockets, `${spec.name}.qmp`)
    mkdirSync(dir, { recursive: true })
    const files = ctx.registry.claim(`sockets of ${spec.name}`, () => [qmp, spec.wireSocket].forEach((path) => rmSync(path, { force: true })))
    for (const path of [qmp, spec.wireSocket]) files.hold({ kind: 'path', path })
    const consoleFile = join(dir, 'console.log')
    const args = machineArgs(spec, accel, { port, qmp, consoleFile, publicKey: key.publicBlob })
    writeFileSync(join(dir, 'qemu.args'), `qemu-system-x86_64 \\\n  ${args.map((arg) => JSON.stringify(arg)).join(' \\\n  ')}\n`)
    const ssh = { host: '127.0.0.1', port, user: 'root', keyFile: key.file }
    const booted = await bootMachine(
      {
        name: spec.name,
        ssh,
        consoleFile,
        // TMPDIR: where QEMU makes the unlinked file that takes the guest's writes.
        qemu: { name: `machine ${spec.name}`, file: 'qemu-system-x86_64', args, logFile: join(ctx.dir, 'logs', `${spec.name}.qemu.log`), graceMs: 0, blame: 'hypervisor', env: { TMPDIR: dir } },
        sockets: [qmp, spec.wireSocket],
        deadlineMs: options.deadlineMs ?? (accel === 'tcg' ? 60_000 : 30_000),
        silenceMs: options.silenceMs ?? 20_000,
      },
      ctx,
      (phase) => step.update(phase),
    )
    const { name, release, line } = spec.kernel
    const handle: MachineHandle = { name: spec.name, index: spec.index, kernel: { name, release, line }, address: wireAddress(spec.index), mac: wireMac(spec.index), accel, ssh, consoleFile, pid: booted.service.pid, wireSocket: spec.wireSocket }
    return {
      ...machineOver(booted.session, handle),
      bootMs: booted.bootMs,
      stop: async () => {
        booted.session.close()
        await booted.service.stop()
        await files.release()
      },
    }
  })
}

/** QEMU's arguments for a machine. */
export function machineArgs(spec: MachineSpec, accel: Accel, at: { port: number; qmp: string; consoleFile: string; publicKey: string }): string[] {
  return qemuArgs({
    name: spec.name,
    accel,
    cpus: spec.cpus,
    memoryMiB: spec.memoryMiB,
    kernel: spec.kernel.image,
    ...(spec.boot.initramfs === undefined ? {} : { initrd: spec.boot.initramfs }),
    append: [...FAST_BOOT, ...guestOptions(spec.name, wireAddress(spec.index), at.publicKey)],
    devices: [
      serialConsole(at.consoleFile),
      randomDevice(),
      disk('root', spec.image.disk, 'snapshot'),
      ...(spec.boot.modulesDisk === undefined ? [] : [disk('modules', spec.boot.modulesDisk, 'readonly')]),
      ...(spec.imagesDisk === undefined ? [] : [disk('images', spec.imagesDisk, 'snapshot', IMAGES_SERIAL)]),
      sshNic(at.port),
      wireNic(spec.wireSocket, wireMac(spec.index)),
      qmpSocket(at.qmp),
    ],
  })
}
