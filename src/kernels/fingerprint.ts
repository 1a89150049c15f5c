import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { sha256 } from '../core/cache.ts'

/** Identity of a folder of modules without reading them all: names, sizes and times of its files, hex. Links (`build`, `source`) are not followed. */
export function fingerprint(dir: string): string {
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const lines = files.map((entry) => {
    const path = join(entry.parentPath, entry.name)
    const { size, mtimeMs } = statSync(path)
    return `${path.slice(dir.length)} ${size} ${mtimeMs}`
  })
  return sha256(...lines.sort())
}
