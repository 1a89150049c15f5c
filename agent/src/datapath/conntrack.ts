/** The connection table, as read and swept from user space. */
import { hasFault } from '../fault.ts'
import type { BpfMap } from './bpf.ts'
import { addressBytes } from './address.ts'
import { decodeConntrack } from './layouts.ts'
import type { ConntrackEntry } from './types.ts'

/** CLOCK_MONOTONIC in seconds: the clock of bpf_ktime_get_ns(). */
export function monotonicSeconds(): number {
  return Number(process.hrtime.bigint() / 1_000_000_000n)
}

export function listConntrack(map: BpfMap): ConntrackEntry[] {
  const now = monotonicSeconds()
  return map.entries().map(([key, value]) => decodeConntrack(key, value, now))
}

/** Deletes expired entries; returns how many. Programs take no notice of those, but only this makes room. */
export function collectConntrack(map: BpfMap): number {
  if (hasFault('conntrack-never-collected')) return 0
  const now = monotonicSeconds()
  const expired = map.entries().filter(([key, value]) => decodeConntrack(key, value, now).expires < 0)
  return expired.filter(([key]) => map.delete(key)).length
}

/** Forgets the flows of an address, which may soon be another pod's. */
export function forgetAddress(map: BpfMap, ip: string): void {
  const address = addressBytes(ip), size = address.length
  for (const key of map.keys()) if (key.subarray(0, size).equals(address) || key.subarray(size, 2 * size).equals(address)) map.delete(key)
}
