import { describe, expect, it } from 'vitest'
import { decodeFrame, formatIpv6 } from './decode.ts'

const hex = (...parts: string[]): Buffer => Buffer.from(parts.join('').replace(/\s/g, ''), 'hex')
const MACS = '525400770002 525400770001'
const IPV4_UDP = (total: string, rest: string): string => `4500 ${total} 0001 0000 40 11 0000 c0a84d0b c0a84d0c ${rest}`
const ICMP_INNER = `0a0000000002 0a0000000001 0800 4500 001c 0001 0000 3f 01 0000 0af40001 0af40102 08 00 0000 0007 0003`
const decode = (data: Buffer): ReturnType<typeof decodeFrame> => decodeFrame(data, 5n, 'node1')

describe('decodeFrame', () => {
  it('reads an ICMP echo request with its id and sequence number', () => {
    const frame = decode(hex(ICMP_INNER))
    expect(frame).toMatchObject({ timeNs: 5n, port: 'node1', src: '0a:00:00:00:00:01', dst: '0a:00:00:00:00:02', etherType: 0x0800, length: 42 })
    expect(frame.ip).toEqual({ version: 4, src: '10.244.0.1', dst: '10.244.1.2', protocol: 1, ttl: 63 })
    expect(frame.icmp).toEqual({ type: 8, code: 0, id: 7, sequence: 3 })
  })

  it('reads VXLAN on Linux\'s port with its VNI and the inner frame', () => {
    const frame = decode(hex(MACS, '0800', IPV4_UDP('004e', 'c000 2118 003a 0000'), '08000000 00303900', ICMP_INNER))
    expect(frame.tunnel).toMatchObject({ kind: 'vxlan', vni: 0x3039, inner: { port: 'node1', ip: { src: '10.244.0.1', dst: '10.244.1.2' }, icmp: { type: 8 } } })
    expect(frame.l4).toMatchObject({ srcPort: 0xc000, dstPort: 8472 })
  })

  it('reads Geneve past its options', () => {
    const frame = decode(hex(MACS, '0800', IPV4_UDP('0056', 'c000 17c1 0042 0000'), '02006558 00000a00 0102 0301 deadbeef', ICMP_INNER))
    expect(frame.tunnel).toMatchObject({ kind: 'geneve', vni: 10, inner: { icmp: { type: 8, code: 0 } } })
  })

  it('leaves the padding of a short frame out of the payload', () => {
    const frame = decode(hex(MACS, '0800', IPV4_UDP('001f', '1000 2000 000b 0000 616263'), '00'.repeat(20)))
    expect(frame.l4?.payload.toString()).toBe('abc')
  })

  it('reads TCP flags behind a VLAN tag', () => {
    const frame = decode(hex(MACS, '8100 0064 0800', '4500 0028 0001 0000 40 06 0000 c0a84d0b c0a84d0c', '1000 2000 00000001 00000000 5012 ffff 0000 0000'))
    expect(frame).toMatchObject({ vlan: 100, etherType: 0x0800, l4: { srcPort: 4096, dstPort: 8192, tcpFlags: 0x12 } })
  })

  it('reads who asks for whom in ARP', () => {
    const frame = decode(hex('ffffffffffff 525400770001 0806', '0001 0800 06 04 0001 525400770001 c0a84d0b 000000000000 c0a84d0c'))
    expect(frame.arp).toMatchObject({ operation: 1, senderIp: '192.168.77.11', targetIp: '192.168.77.12', senderMac: '52:54:00:77:00:01' })
  })

  it('reads ICMPv6 behind a hop-by-hop header', () => {
    const frame = decode(hex('333300000016 525400770001 86dd', '60000000 0010 00 01', 'fe80000000000000 505400fffe770001', 'ff020000000000000000000000000016', '3a00 050200000000', '8f00 0000 0000 0000'))
    expect(frame.ip).toMatchObject({ version: 6, src: 'fe80::5054:ff:fe77:1', dst: 'ff02::16', protocol: 58 })
    expect(frame.icmp).toMatchObject({ type: 143 })
  })

  it('gives a later fragment no ports', () => {
    const frame = decode(hex(MACS, '0800', '4500 0020 0001 00b9 40 11 0000 c0a84d0b c0a84d0c', '1000 2000 000c 0000 00000000'))
    expect(frame.ip?.protocol).toBe(17)
    expect(frame.l4).toBeUndefined()
  })

  it('never throws, wherever a frame is cut off', () => {
    const whole = hex(MACS, '0800', IPV4_UDP('004e', 'c000 2118 003a 0000'), '08000000 00303900', ICMP_INNER)
    for (let length = 0; length <= whole.length; length++) expect(() => decode(whole.subarray(0, length))).not.toThrow()
  })
})

describe('formatIpv6', () => {
  it.each([
    ['00000000000000000000000000000000', '::'],
    ['00000000000000000000000000000001', '::1'],
    ['20010db8000000010000000000000001', '2001:db8:0:1::1'],
    ['20010db8000100010001000100010000', '2001:db8:1:1:1:1:1:0'],
    ['fe800000000000000000000000000000', 'fe80::'],
  ])('writes %s as %s', (bytes, text) => {
    expect(formatIpv6(Buffer.from(bytes, 'hex'))).toBe(text)
  })
})
