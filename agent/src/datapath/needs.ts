/** What a BPF object asks of the kernel, read from the object itself, and the Linux versions that brought it. */
import { MAP_TYPE, type MapShape } from './bpf.ts'
import type { ElfObject } from './elf.ts'

/** A name and the Linux version it came with; undefined for what this table doesn't know. */
interface Known { readonly name: string; readonly since: string | undefined }

const MAP_TYPES: Readonly<Record<number, Known>> = {
  [MAP_TYPE.hash]: { name: 'hash', since: '3.19' },
  [MAP_TYPE.array]: { name: 'array', since: '3.19' },
  [MAP_TYPE.programArray]: { name: 'prog_array', since: '4.2' },
  [MAP_TYPE.perfEventArray]: { name: 'perf_event_array', since: '4.3' },
  [MAP_TYPE.perCpuHash]: { name: 'percpu_hash', since: '4.6' },
}

/** Versions are those in which a tc program may call the helper the way agent/bpf does. */
const HELPERS: Readonly<Record<number, Known>> = {
  1: { name: 'map_lookup_elem', since: '3.19' },
  2: { name: 'map_update_elem', since: '3.19' },
  3: { name: 'map_delete_elem', since: '3.19' },
  5: { name: 'ktime_get_ns', since: '4.1' },
  7: { name: 'get_prandom_u32', since: '4.1' },
  9: { name: 'skb_store_bytes', since: '4.1' },
  10: { name: 'l3_csum_replace', since: '4.1' },
  11: { name: 'l4_csum_replace', since: '4.1' },
  12: { name: 'tail_call', since: '4.2' },
  20: { name: 'skb_get_tunnel_key', since: '4.3' },
  21: { name: 'skb_set_tunnel_key', since: '4.3' },
  23: { name: 'redirect', since: '4.4' },
  // 4.4 has it for tracing, 4.7 for tc, 4.8 with the packet's bytes.
  25: { name: 'perf_event_output', since: '4.8' },
  26: { name: 'skb_load_bytes', since: '4.5' },
  32: { name: 'skb_change_type', since: '4.8' },
  34: { name: 'get_hash_recalc', since: '4.8' },
}

export interface MapNeed extends Known { readonly shape: MapShape; /** Maps of this type. */ readonly usedBy: readonly string[] }
export interface HelperNeed extends Known { readonly id: number; /** Programs that call it. */ readonly usedBy: readonly string[] }

/** The map types of an object, each with the shape of its first map. */
export function mapNeeds({ maps }: ElfObject): MapNeed[] {
  return [...Map.groupBy(maps, ([, { type }]) => type)].map(([type, ofType]) =>
    ({ ...(MAP_TYPES[type] ?? { name: `number ${type}`, since: undefined }), shape: ofType[0]![1], usedBy: ofType.map(([name]) => name) }))
}

/** The helpers that an object's programs call, by number. */
export function helperNeeds({ programs }: ElfObject): HelperNeed[] {
  const calls = programs.flatMap(({ name, instructions }) => [...new Set(calledHelpers(instructions))].map((id) => ({ id, name })))
  return [...Map.groupBy(calls, ({ id }) => id)].sort(([a], [b]) => a - b).map(([id, callers]) =>
    ({ ...(HELPERS[id] ?? { name: `number ${id}`, since: undefined }), id, usedBy: callers.map(({ name }) => name) }))
}

function calledHelpers(instructions: Buffer): number[] {
  const CALL = 0x85, LOAD_64 = 0x18
  const helpers: number[] = []
  for (let offset = 0; offset < instructions.length; offset += 8) {
    const code = instructions.readUInt8(offset)
    if (code === CALL && instructions.readUInt8(offset + 1) >> 4 === 0) helpers.push(instructions.readInt32LE(offset + 4))
    if (code === LOAD_64) offset += 8 // its second half is no instruction
  }
  return helpers
}
