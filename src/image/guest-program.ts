import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { cached, sha256 } from '../core/cache.ts'
import { runCommand } from '../core/command.ts'
import type { Context } from '../core/context.ts'
import { inStep } from '../core/progress.ts'

const flags = ['-std=gnu11', '-static', '-Os', '-s', '-Wall', '-Wextra', '-Werror', '-D_GNU_SOURCE']

/** A static program for guests, compiled from the C in a folder with the host's gcc when its source has changed; `what` is for people. Answers its path; throws CommandError. */
export async function ensureGuestProgram(name: string, what: string, source: string, ctx: Context): Promise<string> {
  const files = readdirSync(source).filter((file) => /\.[ch]$/.test(file)).sort()
  const digest = sha256(...flags, ...files.flatMap((file) => [file, readFileSync(join(source, file), 'utf8')]))
  const entry = await cached(ctx, 'images', `${name}-${digest.slice(0, 16)}`, (dir) =>
    inStep(ctx.progress, what, async () => {
      await runCommand('gcc', [...flags, '-o', join(dir, name), ...files.filter((file) => file.endsWith('.c')).map((file) => join(source, file))], { signal: ctx.signal, timeoutMs: 60_000 })
    }))
  return join(entry, name)
}
