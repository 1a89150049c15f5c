import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand } from '../core/command.ts'
import type { Context } from '../core/context.ts'
import type { MachineSpec } from './types.ts'

/** The qcow2 files that take what the guest writes. */
export interface DiskFiles { readonly root: string; readonly images?: string }

/** Makes the overlays of a machine's disks in `dir`, held by the run. */
export const diskFiles = (spec: MachineSpec, dir: string, ctx: Context): Promise<DiskFiles> =>
  overlays({ root: spec.image.disk, ...(spec.imagesDisk === undefined ? {} : { images: spec.imagesDisk }) }, 'raw', dir, ctx)

/** Overlays on files that are never written to. */
export async function overlays(base: DiskFiles, format: 'raw' | 'qcow2', dir: string, ctx: Context): Promise<DiskFiles> {
  const files = { root: join(dir, 'root.qcow2'), ...(base.images === undefined ? {} : { images: join(dir, 'images.qcow2') }) }
  hold(Object.values(files), ctx)
  await Promise.all([[base.root, files.root], [base.images, files.images]].map(async ([from, to]) => {
    if (from !== undefined && to !== undefined) await runCommand('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', format, '-b', from, to], { signal: ctx.signal, blame: 'host' })
  }))
  return files
}

function hold(files: readonly string[], ctx: Context): void {
  const claim = ctx.registry.claim('disk overlays', () => files.forEach((path) => rmSync(path, { force: true })))
  for (const path of files) claim.hold({ kind: 'path', path })
}
