import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sha256File } from '../../core/cache.ts'
import { runCommand } from '../../core/command.ts'
import type { Context } from '../../core/context.ts'
import type { PodResults } from './pod-task.ts'

/** Larger files stay behind, and are named in `left-out.txt`. */
const LARGEST = 512 * 2 ** 20

/** Packs a cell's folder, without machines' disks, into an archive beside it. */
export async function packResults(dir: string, beside: string, code: number, ctx: Context): Promise<PodResults> {
  const archive = join(beside, 'results.tar.gz')
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const large = files.map((path) => ({ path: `./${path.slice(dir.length + 1)}`, size: statSync(path).size })).filter(({ path, size }) => size > LARGEST && !path.endsWith('.qcow2'))
  if (large.length) writeFileSync(join(dir, 'left-out.txt'), large.map(({ path, size }) => `${path}: ${size} bytes\n`).join(''))
  await runCommand('tar', ['-C', dir, '--sparse', '--exclude=*.qcow2', '--anchored', ...large.map(({ path }) => `--exclude=${path}`), '--no-anchored', '-czf', archive, '.'], { signal: ctx.signal, timeoutMs: 10 * 60_000 })
  return { kind: 'results', code, archive, bytes: statSync(archive).size, sha256: await sha256File(archive) }
}
