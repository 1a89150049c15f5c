import { expect, test } from 'vitest'
import type { Outcome } from '../report/types.ts'
import { worstCode } from './cell-results.ts'

test.each<[Outcome[], number]>([
  [['passed', 'passed'], 0],
  [['passed', 'failed'], 1],
  [['failed', 'error', 'passed'], 3],
  [['error', 'stopped', 'failed'], 130],
  [['passed', 'unavailable'], 0],
  [['failed', 'unavailable'], 1],
  // Nothing was proved.
  [['unavailable', 'unavailable'], 3],
])('%j: exit code %i', (outcomes, code) => {
  expect(worstCode(outcomes.map((outcome) => ({ outcome })))).toBe(code)
})
