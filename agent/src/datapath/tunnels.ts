/** Where other nodes' pods are: cilium_ipcache by address, cilium_tunnel_map by prefix. */
import { ipv4Bytes, ipv4Text, parsePrefix } from './address.ts'
import type { BpfMap } from './bpf.ts'
import { DatapathError } from './errors.ts'
import { u32Key } from './layouts.ts'
import type { TunnelEntry } from './types.ts'

export class TunnelMap {
  private readonly map: BpfMap
  /** Prefix length of every node's pods: programs know one only, there being no LPM maps before 4.11. */
  private readonly bits: number

  constructor(map: BpfMap, bits: number) {
    this.map = map
    this.bits = bits
  }

  private key(prefix: string): Buffer {
    const { address, bits } = parsePrefix(prefix)
    if (bits !== this.bits) throw new DatapathError(`tunnel prefix ${prefix}: all nodes' pod CIDRs must be /${this.bits}, as this node's`)
    return address
  }

  /** A node's own address is entered too: pods reach it through the tunnel, with their identity. */
  upsert({ prefix, node }: TunnelEntry): void {
    this.map.update(this.key(prefix), ipv4Bytes(node))
    this.map.update(ipv4Bytes(node), ipv4Bytes(node))
  }

  /** The entry that was. */
  delete(prefix: string): TunnelEntry | undefined {
    const key = this.key(prefix)
    const node = this.map.lookup(key)
    if (node === undefined) return undefined
    this.map.delete(key)
    if (!this.list().some((entry) => entry.node === ipv4Text(node))) this.map.delete(node)
    return { prefix, node: ipv4Text(node) }
  }

  list(): TunnelEntry[] {
    return this.map.entries().filter(([key, node]) => !key.equals(node)).map(([key, node]) => ({ prefix: `${ipv4Text(key)}/${this.bits}`, node: ipv4Text(node) }))
  }
}

export class IPCacheMap {
  private readonly map: BpfMap

  constructor(map: BpfMap) {
    this.map = map
  }

  upsert(ip: string, { identity, node }: { identity: number; node?: string }): void {
    this.map.update(ipv4Bytes(ip), Buffer.concat([u32Key(identity), ipv4Bytes(node ?? '0.0.0.0')]))
  }

  delete(ip: string): void {
    this.map.delete(ipv4Bytes(ip))
  }

  list(): { ip: string; identity: number; node?: string }[] {
    return this.map.entries().map(([key, value]) => {
      const node = ipv4Text(value, 4)
      return { ip: ipv4Text(key), identity: value.readUInt32LE(0), ...(node === '0.0.0.0' ? {} : { node }) }
    })
  }
}
