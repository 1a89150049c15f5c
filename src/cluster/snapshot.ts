import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from '../core/context.ts'
import { KernelbedError } from '../core/errors.ts'

/** What makes a control plane the same one: etcd's data, that of the agent's etcd (empty without one), and the keys that its nodes and tokens were signed with. */
const parts = ['etcd', 'agent-etcd', 'pki'] as const

/** Copies the state of a control plane that has ended into `dir`. */
export function saveState(dir: string, ctx: Pick<Context, 'dir'>): void {
  for (const part of parts) cpSync(join(ctx.dir, part), join(dir, part), { recursive: true })
}

/** Throws KernelbedError when a part of a saved state is gone. */
export function assertState(dir: string): void {
  for (const part of parts) if (!existsSync(join(dir, part))) throw new KernelbedError(`${join(dir, part)} is missing`, { blame: 'host' })
}

/** The state that a run's control plane begins with: a saved one, or none. What an earlier attempt of the run left there goes. */
export function beginState(saved: string | undefined, ctx: Pick<Context, 'dir'>): void {
  if (saved !== undefined) assertState(saved)
  for (const part of parts) {
    const own = join(ctx.dir, part)
    rmSync(own, { recursive: true, force: true })
    mkdirSync(own, { recursive: true, mode: 0o700 })
    if (saved !== undefined) cpSync(join(saved, part), own, { recursive: true })
  }
}
