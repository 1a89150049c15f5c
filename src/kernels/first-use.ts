import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { sha256 } from '../core/cache.ts'
import { KernelbedError } from '../core/errors.ts'
import type { Context } from '../core/context.ts'

/** What was trusted on first use, one file of `kernels/trust` each. */
const recordShape = z.object({
  /** Address of the source, and the folder in it. */
  base: z.string(),
  folder: z.string(),
  /** SHA-256 of its CHECKSUMS file, hex. */
  checksums: z.string(),
  /** Key that its signature named; absent where there was no signature. */
  key: z.string().optional(),
  when: z.string(),
})

type Shape = z.infer<typeof recordShape>

export interface TrustedRecord extends Omit<Shape, 'key'> {
  readonly key?: string | undefined
  /** The record's own file. */
  readonly file: string
  /** Whether the CHECKSUMS at hand is the one recorded. */
  readonly same: boolean
}

interface What { readonly base: string; readonly folder: string; readonly checksums: Buffer }

const folderOf = (ctx: Context): string => join(ctx.cache, 'kernels', 'trust')
const fileOf = ({ base, folder }: What, ctx: Context): string => join(folderOf(ctx), `${sha256(base, folder).slice(0, 16)}.json`)
/** What sha256sum prints of the file. */
const digestOf = ({ checksums }: What): string => createHash('sha256').update(checksums).digest('hex')

/** The record of this folder of this source. */
export function findTrusted(what: What, ctx: Context): TrustedRecord | undefined {
  const file = fileOf(what, ctx)
  if (!existsSync(file)) return undefined
  const record = read(file)
  return { ...record, file, same: record.checksums === digestOf(what) }
}

/** All records of a source. */
export function trustedOf(base: string, ctx: Context): TrustedRecord[] {
  if (!existsSync(folderOf(ctx))) return []
  const files = readdirSync(folderOf(ctx)).filter((name) => name.endsWith('.json')).map((name) => join(folderOf(ctx), name))
  return files.map((file) => ({ ...read(file), file, same: false })).filter((record) => record.base === base)
}

/** Records what is trusted from now on, whole or not at all. */
export function recordTrust(what: What, key: string | undefined, ctx: Context): void {
  const record: Shape = { base: what.base, folder: what.folder, checksums: digestOf(what), ...(key === undefined ? {} : { key }), when: new Date().toISOString() }
  const file = fileOf(what, ctx)
  mkdirSync(folderOf(ctx), { recursive: true })
  writeFileSync(`${file}.${process.pid}`, `${JSON.stringify(record, undefined, 2)}\n`)
  renameSync(`${file}.${process.pid}`, file)
}

/** A record that can't be read must not count as none: that would trust anew. */
function read(file: string): Shape {
  try {
    return recordShape.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch (cause) {
    throw new KernelbedError(`${file}, a record of what was trusted on first use, is damaged`, { blame: 'host', hint: 'remove it, and say --trust-on-first-use again if the source is to be trusted', cause })
  }
}
