import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { RunHandle } from '../agent/types.ts'
import { didYouMean } from '../core/closest.ts'
import { KernelbedError, usageError } from '../core/errors.ts'
import { endOwned } from '../core/owned.ts'
import type { Registry } from '../core/registry.ts'
import { runsDir } from './places.ts'

const owned = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('process'), pid: z.number().int().positive(), startTime: z.string(), group: z.boolean() }),
  z.object({ kind: z.literal('path'), path: z.string() }),
  z.object({ kind: z.literal('command'), argv: z.tuple([z.string()], z.string()) }),
])
const keptSchema = z.array(z.object({ name: z.string(), owned: z.array(owned) }))

/** Writes down what a kept run holds. */
export function writeKept(dir: string, held: Registry['held']): void {
  writeFileSync(join(dir, 'kept.json'), JSON.stringify(held, undefined, 2))
}

/** Ids of runs that were left up, oldest first; of a matrix's cell `<id>/<cell>`. */
export function keptRuns(): string[] {
  if (!existsSync(runsDir())) return []
  const below = (id: string): string[] => readdirSync(join(runsDir(), id), { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => join(id, entry.name))
  const runs = readdirSync(runsDir())
  return [...runs, ...runs.flatMap(below)].filter((id) => existsSync(join(runsDir(), id, 'kept.json'))).sort()
}

/** The kept run that was named, or the newest. Throws a usage error when there is none. */
export function keptRun(id?: string): RunHandle {
  const known = keptRuns()
  const chosen = id ?? known.at(-1)
  if (chosen === undefined) throw usageError('no cluster is up', 'npm run e2e -- --kernel 6.1 --keep leaves one up')
  if (!known.includes(chosen)) throw usageError(`no run "${chosen}" is up${didYouMean(chosen, known)}`, known.length ? `up: ${known.join(', ')}` : 'no cluster is up')
  const file = join(runsDir(), chosen, 'run.json')
  if (!existsSync(file)) throw new KernelbedError(`run ${chosen} never got as far as a cluster`, { blame: 'cluster', hint: `npm run down -- ${chosen} removes what it left` })
  return JSON.parse(readFileSync(file, 'utf8')) as RunHandle
}

/** Ends everything a kept run holds, newest first. Its logs and results stay. */
export async function takeDown(id: string): Promise<void> {
  const file = join(runsDir(), id, 'kept.json')
  const held = keptSchema.parse(JSON.parse(readFileSync(file, 'utf8')))
  const errors: unknown[] = []
  for (const entry of held.reverse()) for (const thing of entry.owned.reverse()) await endOwned(thing, 1000).catch((error: unknown) => errors.push(error))
  if (errors.length) throw new AggregateError(errors, `run ${id} could not be removed whole`)
  rmSync(file)
}
