import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { runCommand } from '../../core/command.ts'
import type { Context } from '../../core/context.ts'
import { inStep } from '../../core/progress.ts'
import { bakedCache } from './pod-places.ts'

/**
 * Puts the entries that came with the image into the cache, those that are not there yet. Each is renamed into place whole: pods that share a volume may do this at
 * once. `baked`: where they are.
 */
export async function unpackBaked(ctx: Context, baked: { readonly tar: string; readonly list: string } = bakedCache): Promise<void> {
  if (!existsSync(baked.list)) return
  const missing = z.array(z.string()).parse(JSON.parse(readFileSync(baked.list, 'utf8'))).filter((entry) => !existsSync(join(ctx.cache, entry, '.complete')))
  if (missing.length === 0) return
  await inStep(ctx.progress, 'unpack the cache of the image', async (step) => {
    step.update(missing.join(', '))
    mkdirSync(ctx.cache, { recursive: true })
    const work = mkdtempSync(join(ctx.cache, '.unpacking-'))
    const claim = ctx.registry.claim(`unfinished ${work}`, () => rmSync(work, { recursive: true, force: true }))
    claim.hold({ kind: 'path', path: work })
    try {
      await runCommand('tar', ['-C', work, '--no-same-owner', '-xf', baked.tar, ...missing], { signal: ctx.signal, timeoutMs: 30 * 60_000 })
      for (const entry of missing) place(join(work, entry), join(ctx.cache, entry))
    } finally {
      await claim.release()
    }
  })
}

function place(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true })
  try {
    renameSync(from, to)
  } catch (error) {
    // Another pod was faster.
    if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}
