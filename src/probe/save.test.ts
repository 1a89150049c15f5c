import { expect, it } from 'vitest'
import { combined } from './save.ts'
import type { FeatureTable, ProbedFeature } from './types.ts'

const table = (node: string, release: string, features: ProbedFeature[]): FeatureTable => ({ node, kernel: { name: release, release, line: release }, features })

it('a feature that all machines agree on keeps its note', () => {
  const features: ProbedFeature[] = [{ name: 'map:hash', state: 'supported' }, { name: 'map:x', state: 'unsupported', note: 'EINVAL' }]
  expect(combined([table('node1', '6.1', features), table('node2', '6.1', features)])).toEqual(features)
})

it('of a mixed cluster it says what the least able machine can do, and which that is', () => {
  const old = table('node1', '4.9', [{ name: 'map:lpm_trie', state: 'unsupported', note: 'EINVAL' }, { name: 'map:y', state: 'unknown', note: 'EPERM' }, { name: 'map:z', state: 'unknown' }])
  const young = table('node2', '6.1', [{ name: 'map:lpm_trie', state: 'supported' }, { name: 'map:y', state: 'supported' }, { name: 'map:z', state: 'unsupported' }])
  expect(combined([old, young])).toEqual([
    { name: 'map:lpm_trie', state: 'unsupported', note: 'node1 (4.9): EINVAL' },
    { name: 'map:y', state: 'unknown', note: 'node1 (4.9): EPERM' },
    { name: 'map:z', state: 'unsupported', note: 'node2 (6.1)' },
  ])
})
