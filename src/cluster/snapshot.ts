import { cpSync, existsSync, mkdirSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from '../core/context.ts'
import { KernelbedError } from '../core/errors.ts'
import { memoryFolder } from '../core/memory-folder.ts'

/** What makes a control plane the same one: etcd's data, that of the agent's etcd (empty without one), and the keys that its nodes and tokens were signed with. */
const parts = ['etcd', 'agent-etcd', 'pki'] as const
/** Two logs of 64 MiB for each etcd, and their data. */
const etcdBytes = 512 << 20

/** Copies the state of a control plane that has ended into `dir`. */
export function saveState(dir: string, ctx: Pick<Context, 'dir'>): void {
  for (const part of parts) cpSync(realpathSync(join(ctx.dir, part)), join(dir, part), { recursive: true })
}

/** Throws KernelbedError when a part of a saved state is gone. */
export function assertState(dir: string): void {
  for (const part of parts) if (!existsSync(join(dir, part))) throw new KernelbedError(`${join(dir, part)} is missing`, { blame: 'host' })
}

/**
 * The state that a run's control plane begins with: a saved one, or none. What an earlier attempt of the run left there goes. The data of etcd is in memory where there is room: it
 * lives as long as the run, and each of its writes waits for the disk, which other runs may keep busy for longer than etcd's clients wait.
 */
export function beginState(saved: string | undefined, ctx: Pick<Context, 'dir' | 'registry'>): void {
  if (saved !== undefined) assertState(saved)
  for (const part of parts) {
    const own = join(ctx.dir, part)
    if (existsSync(own)) rmSync(realpathSync(own), { recursive: true })
    rmSync(own, { recursive: true, force: true })
  }
  const memory = memoryFolder(etcdBytes, ctx)
  for (const part of parts) {
    const own = join(ctx.dir, part)
    const folder = memory === undefined || part === 'pki' ? own : join(memory, part)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    if (folder !== own) symlinkSync(folder, own)
    if (saved !== undefined) cpSync(join(saved, part), folder, { recursive: true })
  }
}
