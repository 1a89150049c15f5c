import { expect, test } from 'vitest'
import { compareKernels, duration, moment, shortDuration, size } from './format.ts'
import { ticksOf } from './timeline.ts'

test.each([[0, '0.0 s'], [42, '0.04 s'], [940, '0.9 s'], [59_949, '59.9 s'], [59_960, '1 min 00 s'], [185_000, '3 min 05 s'], [3_720_000, '1 h 02 min']])('%i ms is %s', (ms, text) => expect(duration(ms)).toBe(text))
test.each([[0, '0 B'], [2048, '2 KiB'], [3_355_443, '3.2 MiB']])('%i bytes are %s', (bytes, text) => expect(size(bytes)).toBe(text))

test('kernels are in order of version, names of one\'s own last', () => {
  expect(['mine', '6.1', '4.14', '4.9', '6.12'].sort(compareKernels)).toEqual(['4.9', '4.14', '6.1', '6.12', 'mine'])
})

test('what is no date stays as it is', () => {
  expect(moment('2026-01-01T12:34:56Z')).toBe('2026-01-01 12:34 UTC')
  expect(moment('yesterday')).toBe('yesterday')
})

test.each([1, 900, 61_000, 600_000, 9_000_000, 90_000_000])('an axis of %i ms has at most eight ticks, from 0', (total) => {
  const ticks = ticksOf(total)
  expect(ticks[0]).toBe(0)
  expect(ticks.length).toBeLessThanOrEqual(8)
  expect(Math.max(...ticks)).toBeLessThanOrEqual(total)
})

test('times are short where there is little room', () => {
  expect([0, 900, 59_400, 59_600, 65_000, 600_000].map(shortDuration)).toEqual(['0 s', '1 s', '59 s', '1:00', '1:05', '10:00'])
})
