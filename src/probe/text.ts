import type { FeatureState, FeatureTable } from './types.ts'

const symbol: Readonly<Record<FeatureState, string>> = { supported: '✓', unsupported: '·', unknown: '?' }

/** Kernel × feature as a Markdown table: a row for each feature in which the kernels differ; what all have, or none, is named below. */
export function featureTableText(tables: readonly FeatureTable[]): string {
  const states = (name: string): FeatureState[] => tables.map(({ features }) => features.find((feature) => feature.name === name)?.state ?? 'unknown')
  const names = tables[0]?.features.map(({ name }) => name) ?? []
  const same = (state: FeatureState): string => names.filter((name) => states(name).every((found) => found === state)).map((name) => `\`${name}\``).join(', ') || 'none'
  const differing = names.filter((name) => new Set(states(name)).size > 1)
  const rows = differing.map((name) => `| \`${name}\` | ${states(name).map((state) => symbol[state]).join(' | ')} |\n`)
  return `| feature | ${tables.map(({ kernel }) => kernel.release).join(' | ')} |\n|---|${tables.map(() => '---|').join('')}\n${rows.join('')}
On all of them: ${same('supported')}.

On none of them: ${same('unsupported')}.
`
}
