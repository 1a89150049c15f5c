/** A matrix of fake cells, as `npm run e2e` runs one of real cells. Arguments: names of the cells, --jobs N. */
import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { processEngine } from '../engine/local.ts'
import { main } from '../main.ts'
import { runMatrix } from '../matrix.ts'
import type { PlannedCell } from '../matrix-plan.ts'

const jobs = Number(process.argv[2])
const cells = process.argv.slice(3).map((name): PlannedCell => ({ name, kernel: name, optional: name.startsWith('absent') }))
const meeting = resolve('meeting')
mkdirSync(meeting)
const options = { cells, jobs, agent: 'lash', suites: [], nodes: 2, memoryMiB: 512, cpus: 1, provider: 'qemu' as const, keep: false, snapshot: false, trustOnFirstUse: false }
await main(() => runMatrix(options, {
  settle: async (planned) => planned.map((cell) => (cell.optional ? { ...cell, unavailable: 'it is not in Debian' } : cell)),
  prepare: async (_options, session) => session.progress.step('shared images').done(),
  ...processEngine((job) => [process.execPath, join(import.meta.dirname, 'fake-cell.ts'), JSON.stringify(job), meeting], 1500),
}))
