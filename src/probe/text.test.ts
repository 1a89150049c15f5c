import { expect, it } from 'vitest'
import { featureTableText } from './text.ts'
import type { FeatureState, FeatureTable } from './types.ts'

const table = (release: string, ...states: FeatureState[]): FeatureTable => ({ node: 'n', kernel: { name: release, release, line: release }, features: states.map((state, i) => ({ name: `map:${i}`, state })) })

it('has a row for what differs, and names what does not', () => {
  expect(featureTableText([table('4.9.154', 'supported', 'unsupported', 'unsupported', 'unknown'), table('6.1.0', 'supported', 'supported', 'unsupported', 'supported')])).toBe(`| feature | 4.9.154 | 6.1.0 |
|---|---|---|
| \`map:1\` | · | ✓ |
| \`map:3\` | ? | ✓ |

On all of them: \`map:0\`.

On none of them: \`map:2\`.
`)
})
