/** Addresses as the control plane writes them, and as the kernel does. */
import crypto from 'node:crypto'
import ipaddr from 'ipaddr.js'
import { DatapathError } from './errors.ts'

/** Four bytes in network order. */
export function ipv4Bytes(text: string): Buffer {
  const octets = text.split('.').map(Number)
  if (octets.length !== 4 || octets.some((octet) => !Number.isInteger(octet) || octet < 0 || octet > 255))
    throw new DatapathError(`\`${text}\` is no IPv4 address`)
  return Buffer.from(octets)
}

export function ipv4Text(bytes: Buffer, offset = 0): string {
  return [...bytes.subarray(offset, offset + 4)].join('.')
}

export const isIPv6 = (address: string): boolean => address.includes(':')

/** Sixteen bytes in network order. */
export function ipv6Bytes(text: string): Buffer {
  if (!ipaddr.IPv6.isValid(text)) throw new DatapathError(`\`${text}\` is no IPv6 address`)
  return Buffer.from(ipaddr.IPv6.parse(text).toByteArray())
}

/** As RFC 5952 has it. */
export function ipv6Text(bytes: Buffer, offset = 0): string {
  return new ipaddr.IPv6([...bytes.subarray(offset, offset + 16)]).toRFC5952String()
}

/** Of either family, in network order. */
export const addressBytes = (text: string): Buffer => (isIPv6(text) ? ipv6Bytes(text) : ipv4Bytes(text))

export function macBytes(text: string): Buffer {
  return Buffer.from(text.replaceAll(':', ''), 'hex')
}

export function macText(bytes: Buffer, offset = 0): string {
  return [...bytes.subarray(offset, offset + 6)].map((byte) => byte.toString(16).padStart(2, '0')).join(':')
}

/** A random, locally administered one. */
export function randomMac(): string {
  const bytes = crypto.randomBytes(6)
  bytes.writeUInt8((bytes.readUInt8(0) & 0xfc) | 2, 0)
  return macText(bytes)
}

export interface Prefix { address: Buffer; bits: number; mask: Buffer }

/** `fd00::/64`; the address is cut to the prefix. */
export function parsePrefix6(text: string): Prefix {
  const [address = '', length = ''] = text.split('/')
  const bits = Number(length)
  if (length === '' || !Number.isInteger(bits) || bits < 0 || bits > 128) throw new DatapathError(`\`${text}\` is no IPv6 prefix`)
  const mask = Buffer.from(Array.from({ length: 16 }, (_, i) => (0xff00 >> Math.min(8, Math.max(0, bits - 8 * i))) & 0xff))
  return { address: Buffer.from(ipv6Bytes(address).map((byte, i) => byte & mask.readUInt8(i))), bits, mask }
}

/** `10.244.1.0/24`; the address is cut to the prefix. */
export function parsePrefix(text: string): Prefix {
  const [address = '', length = ''] = text.split('/')
  const bits = Number(length)
  if (length === '' || !Number.isInteger(bits) || bits < 0 || bits > 32) throw new DatapathError(`\`${text}\` is no IPv4 prefix`)
  const mask = Buffer.alloc(4)
  mask.writeUInt32BE(bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0)
  return { address: Buffer.from(ipv4Bytes(address).map((byte, i) => byte & mask.readUInt8(i))), bits, mask }
}

/** A prefix of either family. */
export const parseAnyPrefix = (text: string): Prefix => (isIPv6(text) ? parsePrefix6(text) : parsePrefix(text))
