import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { cached } from '../../core/cache.ts'
import type { Context } from '../../core/context.ts'
import { KernelbedError } from '../../core/errors.ts'
import { inStep } from '../../core/progress.ts'
import { startService } from '../../core/service.ts'
import { shellQuote } from '../../core/shell-quote.ts'
import { waitFor } from '../../core/wait.ts'
import { ensureBusybox } from '../../image/index.ts'
import { privateApt, showPackage, unpackPackages } from '../../kernels/apt.ts'
import type { Kernel } from '../../kernels/index.ts'
import type { Accel } from '../../machine/index.ts'

/** virtme-ng out of Debian's packages, unpacked in the cache. */
export interface Virtme {
  readonly version: string
  /** Boots a kernel to its own shell, and ends it. Resolves with the seconds from its start to the shell. Throws KernelbedError when it comes to none. */
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

/**
 * To its welcome, which it prints just before its shell starts. (A command given to it would need udev on the host, for the names of its serial ports.) It wants a terminal:
 * script(1), of Debian's essential bsdutils, gives it one.
 */
async function boot(root: string, busybox: string, kernel: Kernel, accel: Accel, ctx: Context): Promise<number> {
  // It takes the modules that lie beside the image. 9p: the virtiofsd that comes with Debian 12's QEMU is not the one that it starts, and looking for that costs it seconds.
  const args = [join(root, 'usr/bin/vng'), '--run', kernel.image, '--user', 'root', '--memory', '1G', '--cpus', '1', '--busybox', busybox, '--force-9p', ...(accel === 'tcg' ? ['--disable-kvm'] : [])]
  const logFile = join(ctx.dir, 'logs', `virtme-${Math.round(performance.now())}.log`)
  const start = performance.now()
  const service = await startService(ctx.registry, {
    name: 'virtme-ng', file: 'script', args: ['-qefc', args.map(shellQuote).join(' '), '/dev/null'], logFile, cwd: '/', graceMs: 0,
    env: { PYTHONPATH: join(root, 'usr/lib/python3/dist-packages'), PATH: `${join(root, 'usr/bin')}:${process.env['PATH'] ?? ''}`, TERM: 'dumb' },
  })
  const evidence = (): string => service.logTail(12)
  try {
    return await waitFor({ name: `virtme-ng to come to a shell on ${kernel.name} (${kernel.release})`, timeoutMs: deadlineMs, intervalMs: 20, signal: ctx.signal, blame: 'host', evidence, hint }, () => {
      if (readFileSync(logFile, 'utf8').includes(`kernel version: ${kernel.release}`)) return { done: (performance.now() - start) / 1000 }
      if (!service.alive) throw new KernelbedError(`virtme-ng came to no shell on ${kernel.name} (${kernel.release})`, { blame: 'host', details: evidence(), hint })
      return { seen: 'no shell yet' }
    })
  } finally {
    await service.stop()
  }
}

const hint = 'it needs 9p over virtio and overlayfs, built in or as modules; Debian\'s cloud kernels have no 9p. Without --kernel one that has it is taken'
