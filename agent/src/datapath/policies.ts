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

export class PolicyMap {
  private readonly map: BpfMap

  constructor(map: BpfMap) {
    this.map = map
  }

  private keysOf(endpoint: number, direction?: Direction): Buffer[] {
    return this.map.keys().filter((bytes) => {
      const key = decodePolicyKey(bytes)
      return key.endpoint === endpoint && (direction === undefined || key.egress === (direction === 'egress'))
    })
  }

  /**
   * Makes `allows` all there is, adding first; entries that stay keep their counters. What the map has no room for is tried once more when what is no longer allowed has gone; then throws
   * with how many don't fit. They are denied.
   */
  replace(endpoint: number, direction: Direction, allows: PolicyAllow[]): void {
    const wanted = new Map(allows.flatMap(expand).map(({ proxyPort = 0, ...allow }) => [encodePolicyKey({ ...allow, endpoint, egress: direction === 'egress' }), proxyPort] as const))
    const present = this.keysOf(endpoint, direction)
    const has = (keys: Buffer[]): ((key: Buffer) => boolean) => {
      const set = new Set(keys.map((key) => key.toString('latin1')))
      return (key) => set.has(key.toString('latin1'))
    }
    const isPresent = has(present), isWanted = has([...wanted.keys()])
    const write = (key: Buffer, proxyPort: number): void => {
      const old = isPresent(key) ? this.map.lookup(key) : undefined
      const value = old === undefined ? { packets: 0, bytes: 0, proxyPort: undefined } : decodePolicyValue(old)
      if (value.proxyPort !== proxyPort) this.map.update(key, encodePolicyValue({ ...value, proxyPort }))
    }
    const refused: Buffer[] = []
    for (const [key, proxyPort] of wanted) try { write(key, proxyPort) } catch { refused.push(key) }
    for (const key of present) if (!isWanted(key)) this.map.delete(key)
    let reason: unknown, denied = 0
    for (const key of refused) {
      try { write(key, wanted.get(key)!) } catch (error) {
        reason = error
        denied++
        // What may not pass by the proxy must not pass without it.
        this.map.delete(key)
      }
    }
    if (denied > 0) throw new DatapathError(`${denied} of the ${wanted.size} entries of its ${direction} policy don't fit, and are denied (${messageOf(reason)}): have policies name fewer peers or ports, or fewer pods on this node`, { cause: reason })
  }

  deleteEndpoint(endpoint: number): void {
    for (const key of this.keysOf(endpoint)) this.map.delete(key)
  }

  list(endpoint: number): ReturnType<Datapath['listPolicy']> {
    return this.keysOf(endpoint).flatMap((bytes) => {
      const value = this.map.lookup(bytes)
      const { identity, port, protocol, egress } = decodePolicyKey(bytes)
      return value === undefined ? [] : [{ direction: egress ? 'egress' as const : 'ingress' as const, identity, port, protocol, ...decodePolicyValue(value) }]
    })
  }
}
