import { describe, expect, it } from 'vitest'
import * as der from './der.ts'

const hex = (value: Buffer): string => value.toString('hex')

describe('DER', () => {
  it('encodes object identifiers with arcs above 127', () => {
    expect(hex(der.oid('1.2.840.10045.4.3.2'))).toBe('06082a8648ce3d040302')
    expect(hex(der.oid('2.5.29.17'))).toBe('0603551d11')
  })

  it('encodes integers without a sign and without leading zeros', () => {
    expect(hex(der.integer(Buffer.from([0, 0, 1])))).toBe('020101')
    expect(hex(der.integer(Buffer.from([0x80])))).toBe('02020080')
    expect(hex(der.integer(Buffer.from([0])))).toBe('020100')
  })

  it('encodes long lengths', () => {
    expect(hex(der.octets(Buffer.alloc(0x80))).slice(0, 6)).toBe('048180')
    expect(hex(der.octets(Buffer.alloc(0x1234))).slice(0, 8)).toBe('04821234')
  })

  it('encodes times to the second', () => {
    expect(der.utcTime(new Date('2026-11-21T22:05:06.789Z')).subarray(2).toString()).toBe('261121220506Z')
  })
})
