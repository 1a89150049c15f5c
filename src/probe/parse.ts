import { z } from 'zod'
import { configOptions, features } from '../kernels/features.ts'
import type { FeatureState, ProbedFeature } from './types.ts'

const lineSchema = z.object({ name: z.string(), state: z.enum(['supported', 'unsupported', 'unknown']), note: z.string().exactOptional() })

/** What the probe printed, one JSON object a line. Lines that are none, as one cut off when the program was killed, are left out. */
export function parseProbe(stdout: string): ProbedFeature[] {
  return stdout.split('\n').flatMap((line) => {
    const parsed = lineSchema.safeParse(fromJson(line))
    return parsed.success ? [parsed.data] : []
  })
}

function fromJson(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

/** The options that features hang on, from a kernel's config (`CONFIG_X=y`, `=m`; absent is not set); without one, none can be told. */
export function parseConfig(config: string | undefined): ProbedFeature[] {
  const set = new Map([...(config ?? '').matchAll(/^CONFIG_(\w+)=(.*)$/gm)].map(([, option, value]) => [option, value]))
  return configOptions.map((option) => {
    const name = `config:${option}`
    if (set.size === 0) return { name, state: 'unknown', note: 'this kernel\'s config is not known: no /proc/config.gz (CONFIG_IKCONFIG_PROC), and none came with it' }
    const value = set.get(option)
    const state: FeatureState = value === 'y' || value === 'm' ? 'supported' : 'unsupported'
    return { name, state, note: value === undefined ? 'not set' : value === 'm' ? 'module' : 'built in' }
  })
}

/** A whole table, in the order of the list of features; what was not answered is unknown, for the reason given. */
export function completed(found: readonly ProbedFeature[], missing: string): ProbedFeature[] {
  const byName = new Map(found.map((feature) => [feature.name, feature]))
  return features.map(({ name }): ProbedFeature => byName.get(name) ?? { name, state: 'unknown', note: missing })
}
