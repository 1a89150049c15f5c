import { expect, it } from 'vitest'
import { contains, normalized } from './cidr.ts'
import { checkClusterCIDR6, nodeCIDR6, podIPv6, router6 } from './ipv6.ts'

it('gives nodes and pods the IPv6 addresses that follow from IPv4\'s', () => {
  expect(nodeCIDR6('f00d::/64', '10.244.1.0/24')).toBe('f00d::af4:100:0:0/96')
  expect(router6('fd02:1:1::/64', '10.15.0.0/16')).toBe('fd02:1:1:0:a0f::1')
  expect(podIPv6('f00d::/64', '10.244.1.0/24', '10.244.1.200')).toBe('f00d::af4:100:0:c8')
  expect(() => checkClusterCIDR6('f00d::/48')).toThrow('not an IPv6 prefix of 64 bits')
})

it('compares prefixes within their family', () => {
  expect(contains('fd00::/8', 'fd12:3::/32')).toBe(true)
  expect(contains('fd12:3::/32', 'fd00::/8')).toBe(false)
  expect(contains('::/0', '10.0.0.0/8')).toBe(false)
  expect(contains('0.0.0.0/0', 'fd00::/8')).toBe(false)
})

it('writes prefixes as RFC 5952 has them, their host bits cleared', () => {
  expect(normalized('FD00:0:0:1::9/64')).toBe('fd00:0:0:1::/64')
  expect(normalized('fd00::9')).toBe('fd00::9/128')
  expect(normalized('::/0')).toBe('::/0')
  expect(() => normalized('fd00::/129')).toThrow('"fd00::/129" is not an IPv6 prefix such as f00d::/64')
})
