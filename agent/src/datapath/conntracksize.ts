/** How many connections there is room for. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { mapShape, openPinned } from './bpf.ts'
import type { ElfObject } from './elf.ts'

/** Of IPv4 and of IPv6. */
const TABLES = ['cilium_ct4_global', 'cilium_ct6_global'] as const

/** Bytes that one more entry in both tables takes, about: 136 and 176 by `memlock` of /proc/PID/fdinfo. All are allocated when the table is made. */
const ENTRY_BYTES = 320
const MEMORY_SHARE = 1 / 200
const LEAST = 1 << 16, MOST = 1 << 18

/** A two-hundredth of the memory, in a power of two, so that a machine whose memory differs a little from boot to boot keeps its tables. */
export function entriesByMemory(bytes: number): number {
  return Math.min(MOST, Math.max(LEAST, 2 ** Math.floor(Math.log2(bytes * MEMORY_SHARE / ENTRY_BYTES))))
}

/** Gives both tables of the object a size: `wanted`, or with 0 that of the pinned table, which holds connections, or by the machine's memory. */
export function sizeConntrack(object: ElfObject, folder: string, wanted: number): void {
  for (const name of TABLES) {
    const shape = object.maps.get(name)
    if (shape !== undefined) object.maps.set(name, { ...shape, maxEntries: wanted || pinnedEntries(path.join(folder, name)) || entriesByMemory(os.totalmem()) })
  }
}

/** 0 when there is none. */
function pinnedEntries(file: string): number {
  const fd = openPinned(file)
  if (fd === undefined) return 0
  try { return mapShape(fd).maxEntries } finally { fs.closeSync(fd) }
}
