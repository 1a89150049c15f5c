import type { Context } from '../core/context.ts'
import { explain } from '../core/errors.ts'
import { ensureHostTools } from '../image/index.ts'
import { settleCells, type PlannedCell } from './matrix-plan.ts'
import type { E2eOptions } from './options.ts'
import { fillCache } from './prepare.ts'
import { inSession } from './session.ts'

/**
 * `npm run e2e -- --prepare-only …`: everything that the same command without the flag would fetch or build, into the cache; no machine starts. A kernel that
 * cannot be had does not keep the others from being prepared. Answers 0, 3 when one could not be prepared (of those that `all` stands for: when none could), 130 when stopped.
 */
export const prepareOnly = (options: E2eOptions): Promise<number> => inSession(async ({ ctx }) => prepareCells(await settleCells(options.cells, ctx), options, ctx))

async function prepareCells(cells: readonly PlannedCell[], options: E2eOptions, ctx: Context): Promise<number> {
  await ensureHostTools(ctx)
  const start = performance.now()
  const done: string[] = []
  const failed: string[] = []
  for (const cell of cells) {
    if (cell.unavailable !== undefined) {
      process.stdout.write(`- ${cell.name}: not available: ${cell.unavailable}\n`)
      continue
    }
    try {
      const kernels = await fillCache(cell.kernel, options, ctx)
      done.push(cell.name)
      process.stdout.write(`✓ ${cell.name}: ${kernels.map(({ release }) => release).join(', ')}\n`)
    } catch (error) {
      if (ctx.signal.aborted || cells.length === 1) throw error
      failed.push(cell.name)
      process.stdout.write(`✗ ${cell.name}\n${explain(error).replace(/^/gm, '    ')}\n`)
    }
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  process.stdout.write(`${done.length} of ${cells.length} kernel${cells.length === 1 ? '' : 's'} prepared in ${seconds} s, in ${ctx.cache}${failed.length ? `; failed: ${failed.join(', ')}` : ''}\n`)
  return failed.length > 0 || done.length === 0 ? 3 : 0
}
