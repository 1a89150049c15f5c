import { renameSync, writeFileSync } from 'node:fs'

/** Writes a file in one step, so that a crash leaves the old or the new one. Its folder must be there. */
export function replaceFile(path: string, text: string): void {
  writeFileSync(`${path}.new`, text)
  renameSync(`${path}.new`, path)
}
