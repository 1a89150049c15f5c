import { createHash } from 'node:crypto'
import { appendFileSync, openAsBlob, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execInPod, readInPod } from '../../cluster/index.ts'
import { runCommand } from '../../core/command.ts'
import type { Context } from '../../core/context.ts'
import { explain, KernelbedError } from '../../core/errors.ts'
import { waitFor } from '../../core/wait.ts'
import type { ClusterAccess } from './access.ts'
import { inputsComplete, podContainer } from './pod-places.ts'
import type { InputFile } from './inputs.ts'
import type { PodResults } from './pod-task.ts'

/** Of an archive at a time: what is lost when a connection breaks, and what is held in memory. */
const PART = 4 * 2 ** 20

const containerOf = ({ namespace }: ClusterAccess, pod: string): { namespace: string; pod: string; container: string } => ({ namespace, pod, container: podContainer })

/** Fetches a cell's folder from its pod, part by part, each tried again when its connection breaks. Throws KernelbedError. */
export async function fetchResults(access: ClusterAccess, pod: string, { archive, bytes, sha256 }: PodResults, dir: string, ctx: Context): Promise<void> {
  const file = join(dir, 'results.tar.gz')
  const claim = ctx.registry.claim(`unfinished ${file}`, () => rmSync(file, { force: true }))
  claim.hold({ kind: 'path', path: file })
  const hash = createHash('sha256')
  try {
    writeFileSync(file, '')
    for (let at = 0; at < bytes; at += PART) {
      const part = await fetchPart(access, pod, archive, at, Math.min(PART, bytes - at), ctx)
      hash.update(part)
      appendFileSync(file, part)
    }
    if (hash.digest('hex') !== sha256) throw new KernelbedError(`the results of pod ${pod} arrived damaged`, { blame: 'cluster', hint: 'run the cell again' })
    await runCommand('tar', ['-C', dir, '--no-same-owner', '--no-same-permissions', '-xzf', file], { signal: ctx.signal, timeoutMs: 10 * 60_000 })
  } finally {
    await claim.release()
  }
}

const fetchPart = (access: ClusterAccess, pod: string, archive: string, at: number, length: number, ctx: Context): Promise<Buffer> =>
  waitFor({ name: `bytes ${at} to ${at + length} of the results of pod ${pod}`, timeoutMs: 3 * 60_000, intervalMs: 1000, signal: ctx.signal, blame: 'cluster' }, async () => {
    const part = await readInPod(access, containerOf(access, pod), ['sh', '-c', 'tail -c +"$2" "$1" | head -c "$3"', 'sh', archive, String(at + 1), String(length)], { timeoutMs: 60_000, signal: ctx.signal })
      .catch((error: unknown) => explain(error))
    if (typeof part === 'string') return { seen: part }
    return part.length === length ? { done: part } : { seen: `${part.length} bytes` }
  })

/** Sends files of this host into the pod, which waits for them, part by part, each tried again when its connection breaks. Throws KernelbedError. */
export async function sendFiles(access: ClusterAccess, pod: string, files: readonly InputFile[], ctx: Context): Promise<void> {
  for (const { from, to } of files) {
    const blob = await openAsBlob(from)
    for (let at = 0; at < blob.size; at += PART) {
      const part = Buffer.from(await blob.slice(at, at + PART).arrayBuffer())
      // At its place, whatever an earlier attempt has left there.
      await tryInPod(access, pod, `bytes ${at} to ${at + part.length} of ${from}`, ['sh', '-c', 'mkdir -p "$(dirname "$1")" && dd of="$1" bs="$2" seek="$3" conv=notrunc iflag=fullblock status=none && [ "$(wc -c < "$1")" -ge "$4" ]', 'sh', to, String(PART), String(at / PART), String(at + part.length)], ctx, part)
    }
  }
  await tryInPod(access, pod, 'the word that all files are there', ['sh', '-c', 'mkdir -p "$(dirname "$1")" && : > "$1"', 'sh', inputsComplete], ctx)
}

const tryInPod = (access: ClusterAccess, pod: string, what: string, argv: readonly string[], ctx: Context, stdin?: Buffer): Promise<void> =>
  waitFor({ name: `pod ${pod} to take ${what}`, timeoutMs: 4 * 60_000, intervalMs: 1000, signal: ctx.signal, blame: 'cluster' }, async () => {
    const failed = await execInPod(access, containerOf(access, pod), argv, { timeoutMs: 120_000, signal: ctx.signal, ...(stdin === undefined ? {} : { stdin }) }).then(() => undefined, (error: unknown) => explain(error))
    return failed === undefined ? { done: undefined } : { seen: failed }
  })
