/** Policy entries of endpoints. */
import type { BpfMap } from './bpf.ts'
import { DatapathError } from './errors.ts'
import { decodePolicyKey, decodePolicyValue, encodePolicyKey, encodePolicyValue } from './layouts.ts'
import type { Datapath, PolicyAllow } from './types.ts'
import { messageOf } from '../log.ts'

type Direction = 'ingress' | 'egress'

/** A port of any protocol is one of TCP and one of UDP: programs look for ports by protocol. */
function expand(allow: PolicyAllow): PolicyAllow[] {
  return allow.port !== 0 && allow.protocol === 'ANY' ? [{ ...allow, protocol: 'TCP' }, { ...allow, protocol: 'UDP' }] : [allow]
}

const textOf = (key: Buffer): string => key.toString('latin1')

/** All entries are the agent's: which there are is read once, as a walk through the whole map at every change took most of the time. */
export class PolicyMap {
  private readonly map: BpfMap
  /** Keys by endpoint, and by their bytes as latin1. */
  private index: Map<number, Map<string, Buffer>> | undefined

  constructor(map: BpfMap) {
    this.map = map
  }

  private keys(endpoint: number): Map<string, Buffer> {
    if (this.index === undefined) {
      this.index = new Map()
      for (const key of this.map.keys()) this.keys(decodePolicyKey(key).endpoint).set(textOf(key), key)
    }
    const known = this.index.get(endpoint)
    if (known !== undefined) return known
    const none = new Map<string, Buffer>()
    this.index.set(endpoint, none)
    return none
  }

  private update(endpoint: number, key: Buffer, value: Buffer): void {
    this.map.update(key, value)
    this.keys(endpoint).set(textOf(key), key)
  }

  private delete(endpoint: number, key: Buffer): void {
    this.map.delete(key)
    this.keys(endpoint).delete(textOf(key))
  }

  /**
   * Makes `allows` all there is, adding first; entries that stay keep their counters. What the map has no room for is tried once more when what is no longer allowed has gone; then throws
   * with how many don't fit. They are denied.
   */
  replace(endpoint: number, direction: Direction, allows: PolicyAllow[]): void {
    const egress = direction === 'egress'
    const entries = allows.flatMap(expand).map(({ proxyPort = 0, ...allow }) => ({ key: encodePolicyKey({ ...allow, endpoint, egress }), proxyPort }))
    const wanted = new Map(entries.map((entry) => [textOf(entry.key), entry]))
    const present = new Map([...this.keys(endpoint)].filter(([, key]) => decodePolicyKey(key).egress === egress))
    const write = ({ key, proxyPort }: { key: Buffer; proxyPort: number }): void => {
      const old = present.has(textOf(key)) ? this.map.lookup(key) : undefined
      const value = old === undefined ? { packets: 0, bytes: 0, proxyPort: undefined } : decodePolicyValue(old)
      if (value.proxyPort !== proxyPort) this.update(endpoint, key, encodePolicyValue({ ...value, proxyPort }))
    }
    const refused = [...wanted.values()].filter((entry) => { try { write(entry) } catch { return true } return false })
    for (const [text, key] of present) if (!wanted.has(text)) this.delete(endpoint, key)
    let reason: unknown, denied = 0
    for (const entry of refused) {
      try { write(entry) } catch (error) {
        reason = error
        denied++
        // What may not pass by the proxy must not pass without it.
        this.delete(endpoint, entry.key)
      }
    }
    if (denied > 0) throw new DatapathError(`${denied} of the ${wanted.size} entries of its ${direction} policy don't fit, and are denied (${messageOf(reason)}): have policies name fewer peers or ports, or fewer pods on this node`, { cause: reason })
  }

  deleteEndpoint(endpoint: number): void {
    for (const key of [...this.keys(endpoint).values()]) this.delete(endpoint, key)
    this.index?.delete(endpoint)
  }

  list(endpoint: number): ReturnType<Datapath['listPolicy']> {
    return [...this.keys(endpoint).values()].flatMap((bytes) => {
      const value = this.map.lookup(bytes)
      const { identity, port, protocol, egress } = decodePolicyKey(bytes)
      return value === undefined ? [] : [{ direction: egress ? 'egress' as const : 'ingress' as const, identity, port, protocol, ...decodePolicyValue(value) }]
    })
  }
}
