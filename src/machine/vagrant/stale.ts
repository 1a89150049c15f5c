import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { z } from 'zod'
import type { Context } from '../../core/context.ts'
import { ownerVariable, processStartTime, processesOf, sweepProcesses } from '../../core/owned.ts'

/** What a run notes of itself before it makes machines: enough for another to clean up after it. */
const noteSchema = z.object({ run: z.string(), dir: z.string(), pid: z.number(), startTime: z.string(), machines: z.array(z.string()), paths: z.array(z.string()) })
type Note = z.infer<typeof noteSchema>

const folderOf = ({ cache }: Pick<Context, 'cache'>): string => join(cache, 'vagrant')

/** Notes, until the run ends, that it makes machines. */
export function noteMachines(machines: readonly string[], paths: readonly string[], ctx: Context): void {
  mkdirSync(folderOf(ctx), { recursive: true })
  const run = process.env[ownerVariable] ?? basename(ctx.dir)
  const file = join(folderOf(ctx), `${run.replaceAll('/', '_')}.json`)
  const claim = ctx.registry.claim('note of Vagrant machines', () => rmSync(file, { force: true }))
  claim.hold({ kind: 'path', path: file })
  writeFileSync(file, JSON.stringify({ run, dir: ctx.dir, pid: process.pid, startTime: processStartTime(process.pid) ?? '', machines: [...machines], paths: [...paths] } satisfies Note))
}

/**
 * Ends machines, half-made ones too, of runs that were killed together with their reaper, and removes what they left. A run that lives, or was left up by
 * `--keep`, is not touched. Answers a line a run, for people.
 */
export async function removeStale(ctx: Pick<Context, 'cache'>): Promise<string[]> {
  if (!existsSync(folderOf(ctx))) return []
  const removed: string[] = []
  for (const name of readdirSync(folderOf(ctx))) {
    const file = join(folderOf(ctx), name)
    const note = read(file)
    if (note && (processStartTime(note.pid) === note.startTime || existsSync(join(note.dir, 'kept.json')))) continue
    if (note) {
      const running = processesOf(note.run).length
      await sweepProcesses(note.run)
      for (const path of note.paths) rmSync(path, { recursive: true, force: true })
      removed.push(`removed ${note.machines.join(', ')} of Vagrant, which run ${note.run} left (${running ? `${running} processes` : 'not running'})`)
    }
    rmSync(file, { force: true })
  }
  return removed
}

function read(file: string): Note | undefined {
  try {
    return noteSchema.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch {
    return undefined
  }
}
