import { chmodSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { cached } from '../core/cache.ts'
import { runCommand } from '../core/command.ts'
import type { Context } from '../core/context.ts'
import { ensureRootfs } from './rootfs.ts'

/** Debian's static busybox, taken out of the guest's root file system: for initramfs and workload image. Path of the program. */
export async function ensureBusybox(ctx: Context): Promise<string> {
  const tar = await ensureRootfs(ctx)
  const entry = await cached(ctx, 'images', `busybox-${basename(dirname(tar))}`, async (dir) => {
    await runCommand('tar', ['-C', dir, '--strip-components=3', '-xf', tar, './usr/bin/busybox'], { signal: ctx.signal })
    chmodSync(join(dir, 'busybox'), 0o755)
  })
  return join(entry, 'busybox')
}
