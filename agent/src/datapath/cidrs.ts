/** Identities of prefixes outside the cluster: cilium_cidr, and the lengths in use, which the configuration tells the programs. */
import { ipv4Text, parsePrefix } from './address.ts'
import type { BpfMap } from './bpf.ts'
import { u32Key } from './layouts.ts'

/** Byte of cilium_config's value at which the lengths are. */
export const PREFIX_LENGTHS_OFFSET = 28

const keyOf = (prefix: string): Buffer => { const { address, bits } = parsePrefix(prefix); return Buffer.concat([address, u32Key(bits)]) }

/** The lengths in use: bit n - 1 for /n. */
export function prefixLengths(map: BpfMap): number {
  return map.keys().reduce((lengths, key) => (lengths | (1 << (key.readUInt32LE(4) - 1))) >>> 0, 0)
}

export class CIDRMap {
  private readonly map: BpfMap
  private readonly config: BpfMap

  constructor(map: BpfMap, config: BpfMap) {
    this.map = map
    this.config = config
  }

  /** The prefix first: a length that is announced is looked up. */
  upsert(prefix: string, identity: number): void {
    this.map.update(keyOf(prefix), u32Key(identity))
    this.announce()
  }

  delete(prefix: string): void {
    this.map.delete(keyOf(prefix))
    this.announce()
  }

  list(): { prefix: string; identity: number }[] {
    return this.map.entries().map(([key, value]) => ({ prefix: `${ipv4Text(key)}/${key.readUInt32LE(4)}`, identity: value.readUInt32LE(0) }))
  }

  private announce(): void {
    const config = this.config.lookup(u32Key(0))
    const lengths = prefixLengths(this.map)
    if (config === undefined || config.readUInt32LE(PREFIX_LENGTHS_OFFSET) === lengths) return
    config.writeUInt32LE(lengths, PREFIX_LENGTHS_OFFSET)
    this.config.update(u32Key(0), config)
  }
}
