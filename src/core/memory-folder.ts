import { mkdtempSync, rmSync, statfsSync } from 'node:fs'
import type { Context } from './context.ts'

/** As Linux has it (linux/magic.h). */
const TMPFS_MAGIC = 0x01021994
const place = '/dev/shm'

/** A new folder in memory, removed with the run. Undefined where the host has no tmpfs there, or less than `bytes` free in it. */
export function memoryFolder(bytes: number, { registry }: Pick<Context, 'registry'>): string | undefined {
  try {
    const { type, bavail, bsize } = statfsSync(place)
    if (type !== TMPFS_MAGIC || bavail * bsize < bytes) return undefined
    const path = mkdtempSync(`${place}/kb-`)
    registry.claim('folder in memory', () => rmSync(path, { recursive: true, force: true })).hold({ kind: 'path', path })
    return path
  } catch {
    return undefined
  }
}
