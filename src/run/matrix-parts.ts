import { join } from 'node:path'
import { ensureHostTools } from '../image/index.ts'
import type { MatrixParts } from './matrix.ts'
import { settleCells } from './matrix-plan.ts'
import { agentOptionsOf } from './options.ts'
import { projectDir } from './places.ts'
import { prepareShared } from './prepare.ts'

/** Cells with machines. */
export const matrixParts: MatrixParts = {
  settle: (cells, { ctx }) => settleCells(cells, ctx),
  prepare: async (options, { ctx }) => {
    await ensureHostTools(ctx)
    await prepareShared(options, agentOptionsOf(options), ctx)
  },
  command: (job) => [process.execPath, join(projectDir, 'src/run/cell-main.ts'), JSON.stringify(job)],
}
