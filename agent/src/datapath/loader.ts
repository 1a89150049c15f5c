/** From an ELF object to pinned maps and loaded programs. */
import fs from 'node:fs'
import path from 'node:path'
import { BpfMap, createMap, loadProgram, mapShape, openPinned, pin, PROGRAM_TYPE, type MapShape } from './bpf.ts'
import { relocate, type ElfObject, type ElfProgram } from './elf.ts'
import { DatapathError } from './errors.ts'
import { u32Key } from './layouts.ts'

/** Not shared between generations of programs: the old ones must find their own continuations until the last has been replaced. */
const CALLS = 'cilium_calls'

/** Opens every map of the object but the program array: the pinned one if it has the same shape, else a new one in its place. */
export function openMaps(object: ElfObject, folder: string, cpus: number): Map<string, BpfMap> {
  return new Map([...object.maps].filter(([name]) => name !== CALLS).map(([name, definition]) => {
    const shape = shapeFor(definition, cpus)
    return [name, new BpfMap(name, openMap(path.join(folder, name), name, shape), shape, cpus)] as const
  }))
}

/** A map that the object gives no size has an entry for each processor. */
export const shapeFor = (definition: MapShape, cpus: number): MapShape => ({ ...definition, maxEntries: definition.maxEntries || cpus })

const sameShape = (a: MapShape, b: MapShape): boolean =>
  a.type === b.type && a.keySize === b.keySize && a.valueSize === b.valueSize && a.maxEntries === b.maxEntries && a.flags === b.flags

function openMap(file: string, name: string, shape: MapShape): number {
  const found = openPinned(file)
  if (found !== undefined) {
    if (sameShape(mapShape(found), shape)) return found
    fs.closeSync(found)
    fs.unlinkSync(file)
  }
  const fd = createMap(name, shape)
  pin(fd, file)
  return fd
}

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

/** A program array is emptied when its last pin or descriptor goes: the old one's goes here, in one step with the new one's coming. */
function replacePin(fd: number, file: string): void {
  const next = `${file}_next`
  fs.rmSync(next, { force: true })
  pin(fd, next)
  fs.renameSync(next, file)
}
