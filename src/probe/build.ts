import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { cached, sha256 } from '../core/cache.ts'
import { runCommand } from '../core/command.ts'
import type { Context } from '../core/context.ts'
import { inStep } from '../core/progress.ts'

const guest = join(import.meta.dirname, 'guest')
const flags = ['-std=gnu11', '-static', '-Os', '-s', '-Wall', '-Wextra', '-Werror', '-D_GNU_SOURCE']

/** The probe program, static, compiled from guest/ with the host's gcc when its source has changed. Answers its path; throws CommandError. */
export async function ensureProbe(ctx: Context): Promise<string> {
  const files = readdirSync(guest).filter((name) => /\.[ch]$/.test(name)).sort()
  const digest = sha256(...flags, ...files.flatMap((name) => [name, readFileSync(join(guest, name), 'utf8')]))
  const entry = await cached(ctx, 'images', `probe-${digest.slice(0, 16)}`, (dir) =>
    inStep(ctx.progress, 'feature probe', async () => {
      const sources = files.filter((name) => name.endsWith('.c')).map((name) => join(guest, name))
      await runCommand('gcc', [...flags, '-o', join(dir, 'probe'), ...sources], { signal: ctx.signal, timeoutMs: 60_000 })
    }))
  return join(entry, 'probe')
}
