import { expect, test } from 'vitest'
import { reasonCode, reasonName, sameReason } from './reasons.ts'

test('drop reasons go both ways, by the names of any version', () => {
  expect(reasonName(133)).toBe('Policy denied (L3)')
  expect(reasonCode('policy denied')).toBe(133)
  expect(reasonCode('189')).toBe(189)
  expect(reasonName(181)).toBe('Policy denied by denylist')
  expect(reasonCode('Reached EDT rate-limiting drop horizon')).toBe(162)
  expect(reasonCode('nonsense')).toBeUndefined()
})

test('two reasons are the same when they mean the same number, or spell the same', () => {
  expect(sameReason(133, 'Policy denied')).toBe(true)
  expect(sameReason('Policy denied (L3)', 'Policy denied (L4)')).toBe(false)
  expect(sameReason('Brand new reason', 'brand new reason')).toBe(true)
})
