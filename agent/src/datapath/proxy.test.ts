import { expect, test } from 'vitest'
import { proxyMark } from './proxy.ts'

test('a mark is laid out as Cilium lays it out', () => {
  expect(proxyMark(33067, 'ingress')).toBe(0x812b0a00)
  expect(proxyMark(0x123456, 'egress')).toBe(0x34560b12)
})

test('no identity sets the bits that kubelet\'s rules look at', () => {
  for (let identity = 0; identity < 1 << 24; identity += 251) if ((proxyMark(identity, 'egress') & 0xf000) !== 0) expect.fail(`identity ${identity}`)
})
