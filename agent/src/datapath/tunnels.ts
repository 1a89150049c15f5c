/** Where other nodes' pods are: cilium_ipcache by address, cilium_tunnel_map by prefix; and those of IPv6, whose nodes' addresses are IPv4 as well. */
import { addressBytes, ipv4Bytes, ipv4Text, ipv6Text, isIPv6, parsePrefix, parsePrefix6 } from './address.ts'
import type { BpfMap } from './bpf.ts'
import { DatapathError } from './errors.ts'
import { u32Key } from './layouts.ts'
import type { TunnelEntry } from './types.ts'

/** Of a node's IPv6 pods, as agent/bpf/lib/ip6.h has it. */
const NODE_BITS6 = 96

export class TunnelMap {
  private readonly map: BpfMap
  /** Prefix length of every node's pods: programs know one only, there being no LPM maps before 4.11. */
  private readonly bits: number
  private readonly map6: BpfMap

  constructor(map: BpfMap, bits: number, map6: BpfMap) {
    this.map = map
    this.bits = bits
    this.map6 = map6
  }

  private key6(prefix: string): Buffer {
    const { address, bits } = parsePrefix6(prefix)
    if (bits !== NODE_BITS6) throw new DatapathError(`tunnel prefix ${prefix}: nodes' IPv6 pod prefixes are /${NODE_BITS6}`)
    return address
  }

  private key(prefix: string): Buffer {
    const { address, bits } = parsePrefix(prefix)
    if (bits !== this.bits) throw new DatapathError(`tunnel prefix ${prefix}: all nodes' pod CIDRs must be /${this.bits}, as this node's`)
    return address
  }

  /** A node's own address is entered too: pods reach it through the tunnel, with their identity. */
  upsert({ prefix, node }: TunnelEntry): void {
    if (isIPv6(prefix)) return this.map6.update(this.key6(prefix), ipv4Bytes(node))
    this.map.update(this.key(prefix), ipv4Bytes(node))
    this.map.update(ipv4Bytes(node), ipv4Bytes(node))
  }

  /** The entry that was. */
  delete(prefix: string): TunnelEntry | undefined {
    const map = isIPv6(prefix) ? this.map6 : this.map
    const key = isIPv6(prefix) ? this.key6(prefix) : this.key(prefix)
    const node = map.lookup(key)
    if (node === undefined) return undefined
    map.delete(key)
    if (map === this.map && !this.list().some((entry) => entry.node === ipv4Text(node))) this.map.delete(node)
    return { prefix, node: ipv4Text(node) }
  }

  list(): TunnelEntry[] {
    const four = this.map.entries().filter(([key, node]) => !key.equals(node)).map(([key, node]) => ({ prefix: `${ipv4Text(key)}/${this.bits}`, node: ipv4Text(node) }))
    return [...four, ...this.map6.entries().map(([key, node]) => ({ prefix: `${ipv6Text(key)}/${NODE_BITS6}`, node: ipv4Text(node) }))]
  }
}

export class IPCacheMap {
  private readonly map: BpfMap
  private readonly map6: BpfMap

  constructor(map: BpfMap, map6: BpfMap) {
    this.map = map
    this.map6 = map6
  }

  private of(ip: string): BpfMap {
    return isIPv6(ip) ? this.map6 : this.map
  }

  upsert(ip: string, { identity, node }: { identity: number; node?: string }): void {
    this.of(ip).update(addressBytes(ip), Buffer.concat([u32Key(identity), ipv4Bytes(node ?? '0.0.0.0')]))
  }

  delete(ip: string): void {
    this.of(ip).delete(addressBytes(ip))
  }

  list(): { ip: string; identity: number; node?: string }[] {
    return [...this.map.entries(), ...this.map6.entries()].map(([key, value]) => {
      const node = ipv4Text(value, 4)
      return { ip: key.length === 4 ? ipv4Text(key) : ipv6Text(key), identity: value.readUInt32LE(0), ...(node === '0.0.0.0' ? {} : { node }) }
    })
  }
}
