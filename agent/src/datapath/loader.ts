/** From an ELF object to pinned maps and loaded programs. */
import fs from 'node:fs'
import path from 'node:path'
import { BpfMap, createMap, isFull, loadProgram, MAP_TYPE, mapShape, openPinned, pin, PROGRAM_TYPE, type MapShape } from './bpf.ts'
import { relocate, type ElfObject, type ElfProgram } from './elf.ts'
import { DatapathError } from './errors.ts'
import { u32Key } from './layouts.ts'

/** Not shared between generations of programs: the old ones must find their own continuations until the last has been replaced. */
const CALLS = 'cilium_calls'

/** A new map and the pinned one, of another shape, whose place it is to take. `alike`: entries of the one can be the other's. */
export interface Replacement { map: BpfMap; old: BpfMap; alike: boolean }

/** The maps of one generation of programs. */
export interface OpenMaps {
  readonly maps: ReadonlyMap<string, BpfMap>
  readonly replaced: readonly Replacement[]
  /** Those without anything of an earlier generation's, though there was one: somebody has to fill them. */
  readonly empty: readonly string[]
  /** Pins what is new, in the place of what was there; until then the pins are those of the programs before, and so are the maps if this is never called. */
  commit(): void
  /** Closes the descriptors; what is pinned stays. */
  close(): void
}

/** Opens every map of the object but the program array: the pinned one if it has the same shape, else a new one. */
export function openMaps(object: ElfObject, folder: string, cpus: number): OpenMaps {
  const maps = new Map<string, BpfMap>(), fresh: string[] = [], replaced: Replacement[] = []
  const close = (): void => { for (const { fd } of [...maps.values(), ...replaced.map(({ old }) => old)]) fs.closeSync(fd) }
  try {
    for (const [name, definition] of object.maps) {
      if (name === CALLS) continue
      const shape = shapeFor(definition, cpus)
      const found = openPinned(path.join(folder, name))
      const old = found === undefined ? undefined : new BpfMap(name, found, mapShape(found), cpus)
      if (old !== undefined && sameShape(old.shape, shape)) { maps.set(name, old); continue }
      const map = new BpfMap(name, createMap(name, shape), shape, cpus)
      maps.set(name, map)
      fresh.push(name)
      if (old !== undefined) replaced.push({ map, old, alike: alike(old.shape, shape) })
    }
  } catch (error) {
    close()
    throw error
  }
  const unlike = fresh.filter((name) => !replaced.some((each) => each.alike && each.map.name === name))
  return {
    maps, replaced, close, empty: fresh.length < maps.size || replaced.length > 0 ? unlike : [],
    commit: () => {
      for (const name of fresh) replacePin(maps.get(name)!.fd, path.join(folder, name))
      for (const { old } of replaced.splice(0)) fs.closeSync(old.fd)
    },
  }
}

/** Copies what the new map has no entry for. `lost`: for want of room. */
export function carryOver({ map, old }: Replacement): { kept: number; lost: number } {
  let kept = 0, lost = 0
  for (const [key, value] of old.entries()) {
    try { if (map.insert(key, value)) kept++ } catch (error) {
      if (!isFull(error)) throw error
      lost++
    }
  }
  return { kept, lost }
}

/** A map that the object gives no size has an entry for each processor. */
export const shapeFor = (definition: MapShape, cpus: number): MapShape => ({ ...definition, maxEntries: definition.maxEntries || cpus })

const sameShape = (a: MapShape, b: MapShape): boolean =>
  a.type === b.type && a.keySize === b.keySize && a.valueSize === b.valueSize && a.maxEntries === b.maxEntries && a.flags === b.flags

const alike = (a: MapShape, b: MapShape): boolean => a.type === b.type && a.keySize === b.keySize && a.valueSize === b.valueSize && ([MAP_TYPE.hash, MAP_TYPE.perCpuHash] as number[]).includes(a.type)

export interface LoadedElfProgram { program: ElfProgram; fd: number; info: ProgramInfo }

/** Relocates a program and loads it as its section says: `xdp/…`, or else for tc. */
export function loadElfProgram(object: ElfObject, program: ElfProgram, descriptors: ReadonlyMap<string, number>, stats = false): LoadedElfProgram {
  const type = program.section.startsWith('xdp/') ? PROGRAM_TYPE.xdp : PROGRAM_TYPE.schedCls
  const { fd, processed } = loadProgram(program.name, relocate(program, descriptors), object.license, { stats, type })
  return { program, fd, info: { name: program.name, instructions: program.instructions.length / 8, processed } }
}

export interface ProgramInfo { name: string; instructions: number; /** Instructions the verifier went through; only with stats. */ processed: number | undefined }

/** One generation of programs. */
export interface Programs {
  readonly info: ProgramInfo[]
  /** Descriptor of an entry point by its function name. */
  entry(name: string): { name: string; fd: number }
  /** Makes this generation's program array the pinned one; call when all entry points are attached. */
  commit(): void
  /** Closes the descriptors; what is attached and committed stays. */
  close(): void
}

export function loadPrograms(object: ElfObject, maps: ReadonlyMap<string, BpfMap>, folder: string, cpus: number, stats = false): Programs {
  const shape = object.maps.get(CALLS)
  if (shape === undefined) throw new DatapathError(`the BPF object has no map ${CALLS}`)
  const calls = new BpfMap(CALLS, createMap(CALLS, shape), shape, cpus)
  const descriptors = new Map([...[...maps].map(([name, map]) => [name, map.fd] as const), [CALLS, calls.fd] as const])
  const loaded = object.programs.map((program) => loadElfProgram(object, program, descriptors, stats))
  for (const { program, fd } of loaded) {
    const index = tailIndex(program)
    if (index !== undefined) calls.update(u32Key(index), u32Key(fd))
  }
  return {
    info: loaded.map(({ info }) => info),
    entry: (name) => {
      const found = loaded.find(({ program }) => program.name === name)
      if (found === undefined) throw new DatapathError(`the BPF object has no program ${name}`)
      return { name, fd: found.fd }
    },
    commit: () => replacePin(calls.fd, path.join(folder, CALLS)),
    close: () => [calls.fd, ...loaded.map(({ fd }) => fd)].forEach((fd) => fs.closeSync(fd)),
  }
}

function tailIndex(program: ElfProgram): number | undefined {
  const index = /^tail\/(\d+)$/.exec(program.section)?.[1]
  return index === undefined ? undefined : Number(index)
}

/** The old one's goes in one step with the new one's coming: a program array is emptied when its last pin or descriptor goes. */
export function replacePin(fd: number, file: string): void {
  const next = `${file}_next`
  fs.rmSync(next, { force: true })
  pin(fd, next)
  fs.renameSync(next, file)
}
