/** The connection table, as read and swept from user space. */
import { hasFault } from '../fault.ts'
import type { BpfMap } from './bpf.ts'
import { addressBytes } from './address.ts'
import { decodeConntrack } from './layouts.ts'
import type { ConntrackEntry, ConntrackSweep } from './types.ts'

/** CLOCK_MONOTONIC in seconds: the clock of bpf_ktime_get_ns(). */
export function monotonicSeconds(): number {
  return Number(process.hrtime.bigint() / 1_000_000_000n)
}

export function listConntrack(map: BpfMap): ConntrackEntry[] {
  const now = monotonicSeconds()
  return map.entries().map(([key, value]) => decodeConntrack(key, value, now))
}

const TCP = 6

/** Deletes expired entries, and counts. Programs take no notice of those, but only this makes room. */
export async function sweepConntrack(family: ConntrackSweep['family'], map: BpfMap, stopped: () => boolean): Promise<ConntrackSweep> {
  if (hasFault('conntrack-never-collected')) return { table: map.name, family, capacity: map.shape.maxEntries, alive: { tcp: 0, other: 0 }, deleted: { tcp: 0, other: 0 } }
  const now = monotonicSeconds()
  // As struct ct_key (agent/bpf/lib/maps.h) and struct ct6_key (ip6.h) have it.
  const protocolAt = family === 'ipv4' ? 12 : 36
  const alive = { tcp: 0, other: 0 }, deleted = { tcp: 0, other: 0 }
  const count = (counts: typeof alive, key: Buffer): void => { counts[key[protocolAt] === TCP ? 'tcp' : 'other']++ }
  await map.sweep({
    expired: (key, value) => {
      if (decodeConntrack(key, value, now).expires >= 0) return false
      count(deleted, key)
      return true
    },
    kept: (key) => count(alive, key), again: () => Object.assign(alive, { tcp: 0, other: 0 }), stopped,
  })
  return { table: map.name, family, capacity: map.shape.maxEntries, alive, deleted }
}

/** Forgets the flows of an address, which may soon be another pod's. */
export function forgetAddress(map: BpfMap, ip: string): void {
  const address = addressBytes(ip), size = address.length
  for (const key of map.keys()) if (key.subarray(0, size).equals(address) || key.subarray(size, 2 * size).equals(address)) map.delete(key)
}
