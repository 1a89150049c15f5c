import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** A file of the recorded Cilium 1.2.5 output. */
export function recorded(name: string): string {
  return readFileSync(fileURLToPath(new URL(`./cilium-1.2.5/${name}`, import.meta.url)), 'utf8')
}
