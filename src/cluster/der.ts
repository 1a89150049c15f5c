/** DER (X.690), as much of it as certificates need. Each function answers one encoded value. */

const tlv = (tag: number, ...parts: readonly Uint8Array[]): Buffer => {
  const body = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([tag, ...lengthOctets(body.length)]), body])
}

function lengthOctets(length: number): number[] {
  if (length < 0x80) return [length]
  const octets: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256)
  return [0x80 | octets.length, ...octets]
}

export const sequence = (...parts: readonly Uint8Array[]): Buffer => tlv(0x30, ...parts)
export const set = (...parts: readonly Uint8Array[]): Buffer => tlv(0x31, ...parts)
export const boolean = (value: boolean): Buffer => tlv(0x01, Buffer.from([value ? 0xff : 0]))
export const utf8 = (text: string): Buffer => tlv(0x0c, Buffer.from(text))
export const octets = (value: Uint8Array): Buffer => tlv(0x04, value)
export const bits = (value: Uint8Array, unused = 0): Buffer => tlv(0x03, Buffer.from([unused]), value)

/** Context-specific tag around a whole value (`[n] EXPLICIT`). */
export const explicit = (n: number, value: Uint8Array): Buffer => tlv(0xa0 | n, value)
/** Context-specific tag in place of a primitive value's own (`[n] IMPLICIT`). */
export const implicit = (n: number, value: Uint8Array): Buffer => tlv(0x80 | n, value)

/** An integer from big-endian bytes without a sign. */
export function integer(value: Uint8Array): Buffer {
  const start = value.findIndex((byte) => byte !== 0)
  const bytes = start < 0 ? Buffer.from([0]) : Buffer.from(value.subarray(start))
  return tlv(0x02, (bytes[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes)
}

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return tlv(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]))
}

function base128(value: number): number[] {
  const octets = [value & 0x7f]
  for (let rest = value >> 7; rest > 0; rest >>= 7) octets.unshift(0x80 | (rest & 0x7f))
  return octets
}

/** UTCTime up to 2049, as RFC 5280 4.1.2.5 wants. */
export const utcTime = (date: Date): Buffer => tlv(0x17, Buffer.from(`${date.toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`))
