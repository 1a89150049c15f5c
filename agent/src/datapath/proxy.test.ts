import { expect, test } from 'vitest'
import { markOf } from './proxy.ts'

test('marks keep identities apart and leave Kubernetes its bits', () => {
  const KUBERNETES = 0xc000
  const identities = [0, 1, 2, 255, 0x3fff, 0x4000, 0x8000, 0xffff, 47_347, 65_536, 0xffffff]
  for (const direction of ['ingress', 'egress'] as const) {
    const marks = identities.map((identity) => markOf(identity, direction))
    expect(marks.filter((mark) => (mark & KUBERNETES) !== 0)).toEqual([])
    // As agent/bpf/lib/proxy.h reads them.
    expect(marks.map((mark) => ((mark & 0x3fff) | ((mark >>> 2) & 0xffc000)))).toEqual(identities)
    expect(new Set(marks.map((mark) => (mark & 0xfc000000) >>> 0))).toEqual(new Set([direction === 'egress' ? 0xfc000000 : 0xf8000000]))
  }
})
