import { existsSync, readFileSync } from 'node:fs'
import { z } from 'zod'

/** What a probe found: the third is never a guess at one of the others. */
export type FeatureState = 'supported' | 'unsupported' | 'unknown'

/** One probed feature of a kernel. */
export interface Feature {
  /** `map type: lpm_trie`, `helper: bpf_fib_lookup`, … */
  readonly name: string
  readonly state: FeatureState
  /** Why it could not be told, or the kernel's own error. */
  readonly note?: string
}

const schema = z.array(z.object({ name: z.string(), state: z.enum(['supported', 'unsupported', 'unknown']), note: z.string().exactOptional() }))

/** Reads `features.json`, an array of Feature. Undefined when there is none; throws when it is something else. */
export function loadFeatures(file: string): Feature[] | undefined {
  if (!existsSync(file)) return undefined
  const parsed = schema.safeParse(JSON.parse(readFileSync(file, 'utf8')))
  if (!parsed.success) throw new Error(z.prettifyError(parsed.error))
  return parsed.data
}
