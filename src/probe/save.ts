import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FeatureTable, ProbedFeature } from './types.ts'

/**
 * One table for several machines: supported where all have the feature, unsupported where one lacks it, else unknown. Where machines differ the note
 * names those that are to blame.
 */
export function combined(machines: readonly FeatureTable[]): ProbedFeature[] {
  const names = [...new Set(machines.flatMap(({ features }) => features.map(({ name }) => name)))]
  return names.map((name) => {
    const found = machines.map(({ node, kernel, features }) => ({ node, kernel, feature: features.find((feature) => feature.name === name) ?? { name, state: 'unknown' as const, note: 'not probed' } }))
    const state = (['unsupported', 'unknown'] as const).find((candidate) => found.some(({ feature }) => feature.state === candidate)) ?? 'supported'
    const notes = new Set(found.map(({ feature }) => `${feature.state} ${feature.note ?? ''}`))
    const note = notes.size === 1 ? found[0]?.feature.note : found.filter(({ feature }) => feature.state === state).map(({ node, kernel, feature }) => `${node} (${kernel.release})${feature.note === undefined ? '' : `: ${feature.note}`}`).join('; ')
    return { name, state, ...(note === undefined ? {} : { note }) }
  })
}

/** Writes `features.json` of a run folder, which the report shows. */
export function saveFeatures(dir: string, machines: readonly FeatureTable[]): void {
  writeFileSync(join(dir, 'features.json'), JSON.stringify(combined(machines), undefined, 1))
}
