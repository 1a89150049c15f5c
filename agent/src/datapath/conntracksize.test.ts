import { expect, it } from 'vitest'
import { entriesByMemory } from './conntracksize.ts'

it('room for connections grows with the memory, within bounds', () => {
  const GiB = 2 ** 30
  expect([0.5, 1, 4, 7.8, 16, 64, 1024].map((memory) => entriesByMemory(memory * GiB))).toEqual([65_536, 65_536, 65_536, 65_536, 262_144, 262_144, 262_144])
  expect(entriesByMemory(9 * GiB)).toBe(131_072)
})
