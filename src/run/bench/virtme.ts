import { join } from 'node:path'
import { cached } from '../../core/cache.ts'
import { runCommand } from '../../core/command.ts'
import type { Context } from '../../core/context.ts'
import { KernelbedError } from '../../core/errors.ts'
import { inStep } from '../../core/progress.ts'
import { ensureBusybox } from '../../image/index.ts'
import { privateApt, showPackage, unpackPackages } from '../../kernels/apt.ts'
import type { Kernel } from '../../kernels/index.ts'
import type { Accel } from '../../machine/index.ts'

/** virtme-ng out of Debian's packages, unpacked in the cache. */
export interface Virtme {
  readonly version: string
  /** Boots a kernel with its own shell and runs `uname -r` in it. Resolves with the seconds from its start to the answer. Throws KernelbedError when it gives none. */
  boot(kernel: Kernel, accel: Accel): Promise<number>
}

/** What it needs beside Python; charset-normalizer and chardet: whichever requests finds. */
const packages = ['virtme-ng', 'python3-argcomplete', 'python3-pkg-resources', 'python3-requests', 'python3-urllib3', 'python3-idna', 'python3-certifi', 'python3-chardet', 'python3-charset-normalizer']
/** An emulated one on a busy host took 97 s. */
const deadlineMs = 240_000

/** Gets virtme-ng of Debian trixie, by apt, signatures checked; nothing is installed. */
export async function ensureVirtme(ctx: Context): Promise<Virtme> {
  const apt = await privateApt('trixie', ctx)
  const { version } = await showPackage(apt, 'virtme-ng')
  const root = await cached(ctx, 'images', `virtme-ng-${version}`, (dir) => inStep(ctx.progress, `virtme-ng ${version}`, (step) => unpackPackages(apt, packages.map((name) => ({ name })), dir, ctx, (line) => step.update(line))))
  const busybox = await ensureBusybox(ctx)
  return { version, boot: (kernel, accel) => boot(root, busybox, kernel, accel, ctx) }
}

async function boot(root: string, busybox: string, kernel: Kernel, accel: Accel, ctx: Context): Promise<number> {
  const start = performance.now()
  let answered: number | undefined
  // It takes the modules that lie beside the image. 9p: the virtiofsd that comes with Debian 12's QEMU is not the one that it starts, and looking for that costs it seconds.
  const args = ['--run', kernel.image, '--user', 'root', '--memory', '1G', '--cpus', '1', '--busybox', busybox, '--force-9p', '--verbose', ...(accel === 'tcg' ? ['--disable-kvm'] : []), '--', 'uname', '-r']
  const { stdout, stderr } = await runCommand(join(root, 'usr/bin/vng'), args, {
    cwd: '/', env: { PYTHONPATH: join(root, 'usr/lib/python3/dist-packages'), PATH: `${join(root, 'usr/bin')}:${process.env['PATH'] ?? ''}` }, timeoutMs: deadlineMs, signal: ctx.signal, allowFailure: true,
    onLine: (line) => {
      if (line.trim() === kernel.release) answered ??= performance.now()
    },
  })
  if (answered === undefined) {
    throw new KernelbedError(`virtme-ng booted no shell on ${kernel.name} (${kernel.release})`, {
      blame: 'host', details: `${stderr}${stdout}`.trimEnd().split('\n').slice(-8).join('\n'), hint: 'it needs 9p over virtio and overlayfs, built in or as modules; Debian\'s cloud kernels have no 9p. Without --kernel one that has it is taken',
    })
  }
  return (answered - start) / 1000
}
