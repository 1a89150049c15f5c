import { existsSync, readFileSync } from 'node:fs'
import { z } from 'zod'
import type { ProbedFeature } from '../../probe/types.ts'

export type { FeatureState } from '../../probe/types.ts'
/** One probed feature of a kernel, or of all kernels of a run. */
export type Feature = ProbedFeature

const schema = z.array(z.object({ name: z.string(), state: z.enum(['supported', 'unsupported', 'unknown']), note: z.string().exactOptional() }))

/** Reads `features.json`, an array of Feature. Undefined when there is none; throws when it is something else. */
export function loadFeatures(file: string): Feature[] | undefined {
  if (!existsSync(file)) return undefined
  const parsed = schema.safeParse(JSON.parse(readFileSync(file, 'utf8')))
  if (!parsed.success) throw new Error(z.prettifyError(parsed.error))
  return parsed.data
}
