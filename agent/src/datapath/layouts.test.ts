import { describe, expect, test } from 'vitest'
import { parsePrefix } from './address.ts'
import { encodeLengths6 } from './cidrs.ts'
import { parseCpuList } from './cpus.ts'
import {
  conntrackKeyOf6, decodeConntrack, decodeEndpoint, decodePolicyKey, decodeProxyFlow6, decodeServiceKey, decodeServiceValue, encodeBackendKey, encodeConfig, encodeConfig6, encodeEndpoint, encodePolicyKey, encodeProxyKey,
  encodeServiceKey, encodeServiceValue,
} from './layouts.ts'

describe('map layouts', () => {
  test('a service key is address and port in network order, then slave and protocol', () => {
    const key = { ip: '10.96.0.10', port: 53, protocol: 'UDP' as const, slave: 2 }
    expect(encodeServiceKey(key).toString('hex')).toBe('0a60000a' + '0035' + '0200' + '11' + '000000')
    expect(decodeServiceKey(encodeServiceKey(key))).toEqual(key)
  })

  test('policy keys and endpoints come out as they went in', () => {
    const key = { endpoint: 65000, egress: true, identity: 1010, port: 8080, protocol: 'TCP' as const }
    expect(decodePolicyKey(encodePolicyKey(key))).toEqual(key)
    const endpoint = { ifindex: 19, id: 65000, flags: 6, identity: 70000, mac: '16:6a:3d:96:00:da', nodeMac: '6a:31:f0:e2:e4:df' }
    expect(decodeEndpoint(encodeEndpoint(endpoint))).toEqual(endpoint)
  })

  test('the two MACs of an endpoint lie as the first twelve bytes of a frame', () => {
    const bytes = encodeEndpoint({ ifindex: 1, id: 1, flags: 0, identity: 1, mac: '16:6a:3d:96:00:da', nodeMac: '6a:31:f0:e2:e4:df' })
    expect(bytes.toString('hex', 16, 28)).toBe('166a3d9600da' + '6a31f0e2e4df')
  })

  test('the configuration carries prefixes as address and mask', () => {
    const bytes = encodeConfig({ debug: true, podCIDR: '10.244.1.7/24', clusterCIDR: '10.244.0.0/16', hostIfindex: 2, overlayIfindex: 3, hostMac: '6a:31:f0:e2:e4:df', prefixLengths: 0x800080 })
    expect(bytes.toString('hex')).toBe('01000000' + '0af40100' + 'ffffff00' + '0af40000' + 'ffff0000' + '02000000' + '03000000' + '80008000' + '6a31f0e2e4df0000')
  })

  test('an echo is listed without ports and with the time left', () => {
    const key = Buffer.from('0af4010b' + '0af4010a' + '0800' + '0000' + '01' + '01' + '0000', 'hex')
    const value = Buffer.alloc(56)
    value.writeBigUInt64LE(2n, 0)
    value.writeUInt32LE(160, 32)
    value.writeUInt32LE(1010, 40)
    expect(decodeConntrack(key, value, 100)).toEqual({
      direction: 'IN', protocol: 1, src: '10.244.1.10', srcPort: 0, dst: '10.244.1.11', dstPort: 0, expires: 60,
      rxPackets: 2, rxBytes: 0, txPackets: 0, txBytes: 0, flags: 0, revnat: 0, sourceIdentity: 1010,
    })
  })
})

describe('map layouts of IPv6', () => {
  test('the configuration carries the node\'s prefix, or nothing', () => {
    expect(encodeConfig6('f00d::af4:100:0:0/96').toString('hex')).toBe('01000000' + 'f00d000000000000' + '0af40100')
    expect(encodeConfig6(undefined).equals(Buffer.alloc(16))).toBe(true)
  })

  test('lengths of prefixes are told longest first, with their masks', () => {
    const value = encodeLengths6([33, 128, 0, 33])
    expect(value.toString('hex', 0, 64)).toBe('03000000' + '80000000' + 'ff'.repeat(16) + '21000000' + 'ffffffff80' + '00'.repeat(11) + '00000000' + '00'.repeat(16))
    expect(() => encodeLengths6(Array.from({ length: 17 }, (_, i) => i))).toThrow('policies name IPv6 prefixes of 17 lengths (/16, /15')
  })

  test('services have IPv4\'s layouts with longer addresses', () => {
    const key = { ip: 'fd96::10', port: 53, protocol: 'UDP' as const, slave: 2 }
    expect(encodeServiceKey(key).toString('hex')).toBe('fd96' + '00'.repeat(13) + '10' + '0035' + '0200' + '11' + '000000')
    expect(decodeServiceKey(encodeServiceKey(key))).toEqual(key)
    const value = { ip: 'f00d::7', port: 8080, count: 3, revnat: 7, affinity: 600 }
    expect(encodeServiceValue(value).toString('hex')).toBe('f00d' + '00'.repeat(13) + '07' + '1f90' + '0300' + '0700' + '0000' + '58020000')
    expect(decodeServiceValue(encodeServiceValue(value))).toEqual(value)
    expect(encodeBackendKey('f00d::7', 8080, 7).toString('hex')).toBe('f00d' + '00'.repeat(13) + '07' + '1f90' + '0700')
  })

  test('a redirected connection is known by the last words of its addresses, and has the client\'s', () => {
    const key = encodeProxyKey({ ip: 'f00d::af4:100:8000:1', port: 40_960 }, { ip: 'f00d::af4:100:4000:2', port: 10_000 })
    expect(key.toString('hex')).toBe('80000001' + '40000002' + 'a000' + '2710')
    const value = Buffer.from('fd09' + '00'.repeat(13) + '01' + 'f00d' + '00'.repeat(13) + '07' + '0050' + '0100' + '05000000' + '06000000', 'hex')
    expect(decodeProxyFlow6(value)).toEqual({ client: 'fd09::1', ip: 'f00d::7', port: 80, direction: 'egress', srcIdentity: 5, dstIdentity: 6 })
    expect(conntrackKeyOf6(key, value).toString('hex')).toBe('f00d' + '00'.repeat(13) + '07' + 'fd09' + '00'.repeat(13) + '01' + '0050' + 'a000' + '06' + '00' + '0000')
  })

  test('a flow is listed with its addresses and ports', () => {
    const key = Buffer.from('f00d0000000000000af40100000000' + '0b' + 'f00d0000000000000af40100000000' + '0a' + '1f90' + 'a000' + '06' + '01' + '0000', 'hex')
    expect(decodeConntrack(key, Buffer.alloc(56), 0)).toMatchObject({ direction: 'IN', protocol: 6, src: 'f00d::af4:100:0:a', srcPort: 40_960, dst: 'f00d::af4:100:0:b', dstPort: 8080 })
  })
})

test('kernel CPU lists have ranges and single numbers', () => {
  expect(parseCpuList('0-2,5\n')).toEqual([0, 1, 2, 5])
})

test('a prefix is cut to its length, and nonsense is named', () => {
  expect([...parsePrefix('10.244.1.7/24').address]).toEqual([10, 244, 1, 0])
  expect(() => parsePrefix('10.244.1.0/33')).toThrow('`10.244.1.0/33` is no IPv4 prefix')
  expect(() => parsePrefix('10.244.256.0/24')).toThrow('`10.244.256.0` is no IPv4 address')
})
