/** Identities of prefixes outside the cluster: cilium_cidr and cilium_cidr6, and the lengths in use, which the programs are told. */
import { ipv4Text, ipv6Text, isIPv6, parsePrefix, parsePrefix6 } from './address.ts'
import type { BpfMap } from './bpf.ts'
import { DatapathError } from './errors.ts'
import { u32Key } from './layouts.ts'

/** Byte of cilium_config's value at which the lengths are. */
export const PREFIX_LENGTHS_OFFSET = 28
/** Of IPv6, as agent/bpf/lib/cidr6.h has it. */
export const MAX_PREFIX_LENGTHS6 = 16

const keyOf = (prefix: string): Buffer => { const { address, bits } = isIPv6(prefix) ? parsePrefix6(prefix) : parsePrefix(prefix); return Buffer.concat([address, u32Key(bits)]) }

/** The lengths in use: bit n - 1 for /n. */
export function prefixLengths(map: BpfMap): number {
  return map.keys().reduce((lengths, key) => (lengths | (1 << (key.readUInt32LE(4) - 1))) >>> 0, 0)
}

/** Value of cilium_cidr6_lengths: the lengths, longest first, each with its mask. Throws for more than there is room for. */
export function encodeLengths6(lengths: Iterable<number>): Buffer {
  const sorted = [...new Set(lengths)].sort((a, b) => b - a)
  if (sorted.length > MAX_PREFIX_LENGTHS6) throw new DatapathError(`policies name IPv6 prefixes of ${sorted.length} lengths (${sorted.map((bits) => `/${bits}`).join(', ')}); ${MAX_PREFIX_LENGTHS6} are possible on a node: name fewer`)
  const value = Buffer.alloc(4 + 20 * MAX_PREFIX_LENGTHS6)
  value.writeUInt32LE(sorted.length)
  sorted.forEach((bits, i) => {
    value.writeUInt32LE(bits, 4 + 20 * i)
    parsePrefix6(`::/${bits}`).mask.copy(value, 8 + 20 * i)
  })
  return value
}

export interface CIDRMaps { prefixes: BpfMap; config: BpfMap; prefixes6: BpfMap; lengths6: BpfMap }

export class CIDRMap {
  private readonly maps: CIDRMaps

  constructor(maps: CIDRMaps) {
    this.maps = maps
  }

  private of(prefix: string): BpfMap {
    return isIPv6(prefix) ? this.maps.prefixes6 : this.maps.prefixes
  }

  /** The prefix first: a length that is announced is looked up. */
  upsert(prefix: string, identity: number): void {
    if (isIPv6(prefix)) encodeLengths6([...this.lengths6(), parsePrefix6(prefix).bits])
    this.of(prefix).update(keyOf(prefix), u32Key(identity))
    this.announce()
  }

  delete(prefix: string): void {
    this.of(prefix).delete(keyOf(prefix))
    this.announce()
  }

  list(): { prefix: string; identity: number }[] {
    const { prefixes, prefixes6 } = this.maps
    return [
      ...prefixes.entries().map(([key, value]) => ({ prefix: `${ipv4Text(key)}/${key.readUInt32LE(4)}`, identity: value.readUInt32LE(0) })),
      ...prefixes6.entries().map(([key, value]) => ({ prefix: `${ipv6Text(key)}/${key.readUInt32LE(16)}`, identity: value.readUInt32LE(0) })),
    ]
  }

  private lengths6(): number[] {
    return this.maps.prefixes6.keys().map((key) => key.readUInt32LE(16))
  }

  private announce(): void {
    const { prefixes, config, lengths6 } = this.maps
    const known = lengths6.lookup(u32Key(0)), wanted = encodeLengths6(this.lengths6())
    if (known?.equals(wanted) !== true) lengths6.update(u32Key(0), wanted)
    const value = config.lookup(u32Key(0))
    const lengths = prefixLengths(prefixes)
    if (value === undefined || value.readUInt32LE(PREFIX_LENGTHS_OFFSET) === lengths) return
    value.writeUInt32LE(lengths, PREFIX_LENGTHS_OFFSET)
    config.update(u32Key(0), value)
  }
}
