import { describe, expect, it } from 'vitest'
import { explain, KernelbedError } from '../core/errors.ts'
import { features } from '../kernels/features.ts'
import { deviations, skipReason } from './gate.ts'
import type { FeatureTable, ProbedFeature } from './types.ts'

/** A machine whose kernel has everything but what is given. */
function machine(release: string, found: Readonly<Record<string, Omit<ProbedFeature, 'name'>>> = {}, node = 'node1'): FeatureTable {
  const line = release.split('.').slice(0, 2).join('.')
  return { node, kernel: { name: line, release, line }, features: features.map(({ name }) => ({ name, ...(found[name] ?? { state: 'supported' }) })) }
}

const lacks = (note?: string): Omit<ProbedFeature, 'name'> => ({ state: 'unsupported', ...(note === undefined ? {} : { note }) })

function refusal(needs: readonly string[], machines: readonly FeatureTable[], lines?: () => string[]): string {
  try {
    return `granted: ${skipReason(needs, machines, lines) ?? 'runs'}`
  } catch (error) {
    expect(error).toBeInstanceOf(KernelbedError)
    return explain(error)
  }
}

describe('a test', () => {
  it('runs where every node has what it needs', () => {
    expect(skipReason(['map:lpm_trie'], [machine('4.14.67'), machine('6.1.0', {}, 'node2')])).toBeUndefined()
    expect(skipReason([], [machine('4.9.154')])).toBeUndefined()
  })

  it('is skipped where the probe found that the kernel lacks it, with the kernel\'s own word', () => {
    expect(skipReason(['map:lpm_trie'], [machine('4.9.154', { 'map:lpm_trie': lacks('EINVAL') })])).toBe('needs map:lpm_trie (Linux 4.11), which node1 (4.9.154) lacks: EINVAL')
  })

  it('names the node that lacks it in a mixed cluster', () => {
    expect(skipReason(['map:lpm_trie'], [machine('6.1.0'), machine('4.9.154', { 'map:lpm_trie': lacks() }, 'node2')])).toBe('needs map:lpm_trie (Linux 4.11), which node2 (4.9.154) lacks')
  })

  it('says it once for nodes of the same kernel', () => {
    const old = { 'map:lpm_trie': lacks('EINVAL') }
    expect(skipReason(['map:lpm_trie'], [machine('4.9.154', old), machine('4.9.154', old, 'node2')])).toBe('needs map:lpm_trie (Linux 4.11), which node1, node2 (4.9.154) lack: EINVAL')
  })

  it('runs where the probe could not tell, or was never asked', () => {
    expect(skipReason(['map:lpm_trie'], [machine('4.9.154', { 'map:lpm_trie': { state: 'unknown', note: 'EPERM' } })])).toBeUndefined()
    expect(skipReason(['map:lpm_trie'], [{ ...machine('4.9.154'), features: [] }])).toBeUndefined()
  })

  it('fails instead of being skipped where kernels of the line must have the feature, and says which options bring it', () => {
    expect(refusal(['attach:tc-clsact'], [machine('4.9.154', { 'attach:tc-clsact': lacks('ENOENT: no such qdisc') })])).toBe(
      'error (guest kernel): node1: kernels of 4.9 must have attach:tc-clsact (Linux 4.5), to clsact, both directions, direct action; 4.9.154 has not (ENOENT: no such qdisc). It usually comes with CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_BPF, CONFIG_NET_CLS_ACT\n'
      + '  → a kernel that must have a feature cannot skip its tests: build it with the options named, or correct kernels/ or src/kernels/features.ts')
  })

  it('is skipped where the feature hangs on an option that this kernel was built without, or that is not known', () => {
    for (const option of [lacks('not set'), { state: 'unknown' } as const]) {
      expect(skipReason(['map:xskmap'], [machine('6.1.0', { 'map:xskmap': lacks('EINVAL'), 'config:XDP_SOCKETS': option })])).toContain('lacks: EINVAL')
    }
    expect(refusal(['map:xskmap'], [machine('6.1.0', { 'map:xskmap': lacks('EINVAL') })])).toContain('kernels of 6.1 must have map:xskmap')
  })

  it('fails on every kernel when none of the catalogue would ever run it', () => {
    for (const kernel of [machine('4.9.154', { 'map:lpm_trie': lacks() }), machine('6.1.0')]) {
      expect(refusal(['map:lpm_trie', 'link:veth'], [kernel], () => [])).toContain('error (test): no kernel of the catalogue would ever run this test: it needs map:lpm_trie (Linux 4.11) and link:veth (Linux 3.19)')
    }
  })

  it('fails when it needs what nobody knows, with the nearest name', () => {
    expect(refusal(['map:lpm_tree'], [machine('6.1.0')])).toContain('error (test): this test needs "map:lpm_tree", which is no feature (did you mean "map:lpm_trie"?)')
  })
})

describe('deviations', () => {
  it('are none on a kernel that has all it must', () => {
    expect(deviations(machine('6.1.0'))).toEqual([])
    expect(deviations(machine('4.9.154', { 'map:lpm_trie': lacks() }))).toEqual([])
  })

  it('are what it must have and lacks, and what it may lack for all the probe could tell', () => {
    expect(deviations(machine('4.14.67', { 'map:lpm_trie': lacks('EINVAL'), 'link:veth': { state: 'unknown', note: 'EPERM' } }))).toEqual([
      'node1: kernels of 4.14 must have map:lpm_trie (Linux 4.11), longest prefix match; 4.14.67 has not (EINVAL). It usually comes with CONFIG_BPF_SYSCALL',
      'node1: kernels of 4.14 must have link:veth (Linux 3.19), veth pair; 4.14.67 perhaps has not (EPERM). It usually comes with CONFIG_VETH',
    ])
  })
})
