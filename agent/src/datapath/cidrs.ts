/** Identities of prefixes outside the cluster: cilium_cidr and cilium_cidr6, and the lengths in use, which the programs are told. */
import { ipv4Text, ipv6Text, isIPv6, parseAnyPrefix, parsePrefix6 } from './address.ts'
import type { BpfMap } from './bpf.ts'
import { DatapathError } from './errors.ts'
import { u32Key } from './layouts.ts'

/** Byte of cilium_config's value at which the lengths are. */
export const PREFIX_LENGTHS_OFFSET = 28
/** Of IPv6, as agent/bpf/lib/cidr6.h has it. */
export const MAX_PREFIX_LENGTHS6 = 16

/** How many prefixes there are of each length. */
function countLengths(map: BpfMap): Map<number, number> {
  const counts = new Map<number, number>()
  for (const key of map.keys()) {
    const bits = key.readUInt32LE(key.length - 4)
    counts.set(bits, (counts.get(bits) ?? 0) + 1)
  }
  return counts
}

const asBits = (lengths: Iterable<number>): number => [...lengths].reduce((set, bits) => (set | (1 << (bits - 1))) >>> 0, 0)

/** The lengths in use: bit n - 1 for /n. */
export const prefixLengths = (map: BpfMap): number => asBits(countLengths(map).keys())

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

/** By family, and by length: how many prefixes there are. */
type LengthCounts = Record<4 | 6, Map<number, number>>

export interface CIDRMaps { prefixes: BpfMap; config: BpfMap; prefixes6: BpfMap; lengths6: BpfMap }

export class CIDRMap {
  private readonly maps: CIDRMaps
  /** Read once: all prefixes are the agent's. */
  private counts: LengthCounts | undefined

  constructor(maps: CIDRMaps) {
    this.maps = maps
  }

  /** The prefix first: a length that is announced is looked up. */
  upsert(prefix: string, identity: number): void {
    const { map, key, bits, counts } = this.at(prefix)
    if (isIPv6(prefix)) encodeLengths6([...counts.keys(), bits])
    if (map.insert(key, u32Key(identity))) counts.set(bits, (counts.get(bits) ?? 0) + 1)
    else map.update(key, u32Key(identity))
    this.announce()
  }

  delete(prefix: string): void {
    const { map, key, bits, counts } = this.at(prefix)
    const left = (counts.get(bits) ?? 0) - (map.delete(key) ? 1 : 0)
    if (left > 0) counts.set(bits, left)
    else counts.delete(bits)
    this.announce()
  }

  private at(prefix: string): { map: BpfMap; key: Buffer; bits: number; counts: Map<number, number> } {
    const six = isIPv6(prefix)
    const { address, bits } = parseAnyPrefix(prefix)
    return { map: six ? this.maps.prefixes6 : this.maps.prefixes, key: Buffer.concat([address, u32Key(bits)]), bits, counts: this.lengths()[six ? 6 : 4] }
  }

  private lengths(): LengthCounts {
    return this.counts ??= { 4: countLengths(this.maps.prefixes), 6: countLengths(this.maps.prefixes6) }
  }

  list(): { prefix: string; identity: number }[] {
    const { prefixes, prefixes6 } = this.maps
    return [
      ...prefixes.entries().map(([key, value]) => ({ prefix: `${ipv4Text(key)}/${key.readUInt32LE(4)}`, identity: value.readUInt32LE(0) })),
      ...prefixes6.entries().map(([key, value]) => ({ prefix: `${ipv6Text(key)}/${key.readUInt32LE(16)}`, identity: value.readUInt32LE(0) })),
    ]
  }

  private announce(): void {
    const counts = this.lengths()
    const { config, lengths6 } = this.maps
    const known = lengths6.lookup(u32Key(0)), wanted = encodeLengths6(counts[6].keys())
    if (known?.equals(wanted) !== true) lengths6.update(u32Key(0), wanted)
    const value = config.lookup(u32Key(0))
    const lengths = asBits(counts[4].keys())
    if (value === undefined || value.readUInt32LE(PREFIX_LENGTHS_OFFSET) === lengths) return
    value.writeUInt32LE(lengths, PREFIX_LENGTHS_OFFSET)
    config.update(u32Key(0), value)
  }
}
