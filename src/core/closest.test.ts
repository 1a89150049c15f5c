import { expect, test } from 'vitest'
import { closest, didYouMean } from './closest.ts'

test('the nearest known name is suggested, and nothing when none is near', () => {
  expect(closest('6.11', ['6.1', '5.10', '6.12'])).toMatch(/^6\.1/)
  expect(closest('polcy', ['policy', 'services'])).toBe('policy')
  expect(closest('quux-frobnicate', ['policy', 'services'])).toBeUndefined()
  expect(didYouMean('servces', ['policy', 'services'])).toBe(' (did you mean "services"?)')
})
