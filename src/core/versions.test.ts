import { describe, expect, it, test } from 'vitest'
import { atLeast, compareVersions } from './versions.ts'

it('orders by numbers, not by letters', () => {
  expect(['newest', '4.14', '4.9.154', '6.1', '4.9.99', '4.4', '4.9'].sort(compareVersions)).toEqual(['4.4', '4.9', '4.9.99', '4.9.154', '4.14', '6.1', 'newest'])
  expect(compareVersions('4.8', '4.8.0')).toBe(0)
})

describe('atLeast', () => {
  test.each([['4.4.178', '4.5', false], ['4.14.67', '4.5', true], ['4.5.0-rc1', '4.5', true], ['4.8', '4.8.0', true], ['4.10.1', '4.9', true], ['3.19', '4.4', false], ['7.2.13+deb14-cloud-amd64', '4.8', true], ['newest', '6.12', true]])(
    '%s against %s: %s', (release, version, answer) => expect(atLeast(release, version)).toBe(answer))
})
