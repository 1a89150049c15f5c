import { expect, it } from 'vitest'
import { verifierText } from './verifier.ts'

it('shows the largest first, beside what was recorded', () => {
  const now = { release: '6.1.9', programs: { lb4: [850, 5600], egress4: [1100, 30_000], fresh: [10, 12] } } as const
  const before = { release: '6.1.0', programs: { lb4: [840, 5000], egress4: [1100, 30_000], gone: [1, 1] } } as const
  expect(verifierText(now, before)).toBe(`6.1.9: 3 programs

program  instructions  processed  recorded of 6.1.0  processed more
egress4          1100      30000        1100, 30000               =
lb4               850       5600          840, 5000           +12 %
fresh              10         12                new
no longer loaded: gone
`)
  expect(verifierText(now, undefined)).not.toContain('recorded')
})
