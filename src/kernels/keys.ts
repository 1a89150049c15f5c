import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Context } from '../core/context.ts'
import { KernelbedError } from '../core/errors.ts'
import { httpRead } from './http.ts'
import { readPublicKeys } from './signature.ts'
import type { Archive } from './ubuntu-archive.ts'

const fileOf = (archive: Archive, ctx: Context): string => join(ctx.cache, 'kernels', 'keys', `${archive.fingerprint}.gpg`)

/** The archive's public key, binary, from the cache or the key server. Whether it has the pinned fingerprint shows when a signature is checked with it. Throws KernelbedError. */
export async function archiveKey(archive: Archive, ctx: Context): Promise<Buffer> {
  const file = fileOf(archive, ctx)
  if (existsSync(file)) return readFileSync(file)
  const answer = await httpRead(archive.keyUrl, { signal: ctx.signal, silenceMs: 6000, maxBytes: 2 ** 20 })
  if (!answer) throw new KernelbedError(`${archive.keyUrl} has no such key`, { blame: 'host' })
  const key = readPublicKeys(answer, archive.keyUrl)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(`${file}.${process.pid}`, key)
  renameSync(`${file}.${process.pid}`, file)
  return key
}

/** For a cached key that turned out to be another. */
export const forgetArchiveKey = (archive: Archive, ctx: Context): void => rmSync(fileOf(archive, ctx), { force: true })
