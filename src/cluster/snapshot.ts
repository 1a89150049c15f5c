import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from '../core/context.ts'
import { KernelbedError } from '../core/errors.ts'

/** What makes a control plane the same one: etcd's data, and the keys that its nodes and tokens were signed with. */
const parts = ['etcd', 'pki'] as const

/** Copies the state of a control plane that has ended into `dir`. */
export function saveState(dir: string, ctx: Pick<Context, 'dir'>): void {
  for (const part of parts) cpSync(join(ctx.dir, part), join(dir, part), { recursive: true })
}

/** Puts a saved state where a run's control plane keeps its own. Throws KernelbedError when a part of it is gone. */
export function restoreState(dir: string, ctx: Pick<Context, 'dir'>): void {
  for (const part of parts) {
    const from = join(dir, part)
    if (!existsSync(from)) throw new KernelbedError(`${from} is missing`, { blame: 'host' })
    rmSync(join(ctx.dir, part), { recursive: true, force: true })
    mkdirSync(join(ctx.dir, part), { recursive: true, mode: 0o700 })
    cpSync(from, join(ctx.dir, part), { recursive: true })
  }
}
