import { join } from 'node:path'
import { cached, sha256 } from '../core/cache.ts'
import { inStep } from '../core/progress.ts'
import type { Context } from '../core/context.ts'
import { toolPackages } from './host-tools.ts'
import { bootstrapDebian } from './rootfs.ts'

/** apt's own lists and archives are of no use in an image. */
const customize = ['rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/* "$1"/var/log/*']

/**
 * Root file system of the container in which a cell runs elsewhere: Debian bookworm with every tool that a run needs (host-tools.ts), except Node and the project.
 * Path of the tar, about 1 GB.
 */
export async function ensureEngineRootfs(ctx: Context): Promise<string> {
  const packages = ['ca-certificates', 'procps', ...toolPackages('run')]
  const entry = await cached(ctx, 'images', `engine-${sha256('1', ...packages, ...customize).slice(0, 16)}`, (dir) =>
    inStep(ctx.progress, 'root file system with QEMU and compilers (mmdebstrap, once)', (step) => bootstrapDebian({ variant: 'apt', packages, customize }, join(dir, 'rootfs.tar'), ctx, (line) => step.update(line))))
  return join(entry, 'rootfs.tar')
}
