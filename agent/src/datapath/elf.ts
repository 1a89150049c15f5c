/** Reads the BPF object clang made: programs with map relocations, map definitions of our own form, license, options. */
import fs from 'node:fs'
import path from 'node:path'
import { DatapathError } from './errors.ts'
import type { MapShape } from './bpf.ts'

export interface ElfProgram {
  /** The function's name. */
  name: string
  /** `tc/…` is an entry point; `tail/N` is entry N of cilium_calls. */
  section: string
  instructions: Buffer
  /** Instruction indexes that load a map, and which. */
  relocations: { instruction: number; map: string }[]
}
export interface ElfObject {
  programs: ElfProgram[]
  maps: Map<string, MapShape>
  license: string
  /** What the object wants of the loader; `plain-routing` is a seeded fault. */
  options: string[]
}

interface Section { name: string; type: number; flags: number; offset: number; size: number; info: number; data: Buffer }
interface ElfSymbol { name: string; section: number; value: number; type: number }

const MAP_DEFINITION_SIZE = 20
const SHT = { symtab: 2, strtab: 3, rel: 9 } as const
const SHF_EXECINSTR = 4
const EM_BPF = 247
const STT_FUNC = 2
const PSEUDO_MAP_FD = 1

/** The object of a file that clang made from the source of the same name. */
export function readElf(file: string): ElfObject {
  try {
    return parseElf(fs.readFileSync(file), file)
  } catch (cause) {
    if (cause instanceof DatapathError) throw cause
    throw new DatapathError(`reading the BPF object ${file}; compile agent/bpf/${path.basename(file, '.o')}.c as its first comment says`, { cause })
  }
}

export function parseElf(file: Buffer, name = 'object'): ElfObject {
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46 || file.readUInt16LE(18) !== EM_BPF)
    throw new DatapathError(`${name} is no BPF object; compile agent/bpf/lash.c as its first comment says`)
  const sections = readSections(file)
  const symbols = readSymbols(sections)
  const text = (section: string): string => cString(sections.find((s) => s.name === section)?.data ?? Buffer.alloc(0), 0)
  const stray = sections.find((s) => /^\.(rodata|data|bss)/.test(s.name) && s.size > 0)
  if (stray !== undefined) throw new DatapathError(`${name} has global data (${stray.name}), which Linux before 5.2 can't load`)
  return {
    programs: sections.flatMap((section, index) =>
      (section.flags & SHF_EXECINSTR) !== 0 && section.size > 0 ? [readProgram(section, index, sections, symbols)] : []),
    maps: readMaps(sections, symbols),
    license: text('license'),
    options: text('options').split(' ').filter((option) => option !== ''),
  }
}

function cString(data: Buffer, offset: number): string {
  const end = data.indexOf(0, offset)
  return data.toString('latin1', offset, end < 0 ? data.length : end)
}

function readSections(file: Buffer): Section[] {
  const start = Number(file.readBigUInt64LE(40))
  const entrySize = file.readUInt16LE(58), count = file.readUInt16LE(60), namesIndex = file.readUInt16LE(62)
  const raw = Array.from({ length: count }, (_, i) => {
    const header = file.subarray(start + i * entrySize, start + (i + 1) * entrySize)
    const offset = Number(header.readBigUInt64LE(24)), size = Number(header.readBigUInt64LE(32))
    return {
      nameOffset: header.readUInt32LE(0), type: header.readUInt32LE(4), flags: Number(header.readBigUInt64LE(8)), offset, size,
      info: header.readUInt32LE(44), data: file.subarray(offset, offset + size),
    }
  })
  const names = raw[namesIndex]?.data ?? Buffer.alloc(0)
  return raw.map(({ nameOffset, ...section }) => ({ ...section, name: cString(names, nameOffset) }))
}

function readSymbols(sections: Section[]): ElfSymbol[] {
  const table = sections.find((s) => s.type === SHT.symtab)?.data ?? Buffer.alloc(0)
  const strings = sections.find((s) => s.name === '.strtab')?.data ?? Buffer.alloc(0)
  return Array.from({ length: table.length / 24 }, (_, i) => {
    const symbol = table.subarray(i * 24, (i + 1) * 24)
    return {
      name: cString(strings, symbol.readUInt32LE(0)), type: symbol.readUInt8(4) & 0xf, section: symbol.readUInt16LE(6),
      value: Number(symbol.readBigUInt64LE(8)),
    }
  })
}

function readMaps(sections: Section[], symbols: ElfSymbol[]): Map<string, MapShape> {
  const index = sections.findIndex((s) => s.name === 'maps')
  const data = sections[index]?.data ?? Buffer.alloc(0)
  const maps = symbols.filter((symbol) => symbol.section === index && symbol.name !== '')
  return new Map(maps.map((symbol) => {
    const word = (i: number): number => data.readUInt32LE(symbol.value + 4 * i)
    return [symbol.name, { type: word(0), keySize: word(1), valueSize: word(2), maxEntries: word(3), flags: word(4) }] as const
  }))
}

function readProgram(section: Section, index: number, sections: Section[], symbols: ElfSymbol[]): ElfProgram {
  const name = symbols.find((s) => s.section === index && s.type === STT_FUNC)?.name ?? section.name
  const mapsIndex = sections.findIndex((s) => s.name === 'maps')
  const table = sections.find((s) => s.type === SHT.rel && s.info === index)?.data ?? Buffer.alloc(0)
  const relocations = Array.from({ length: table.length / 16 }, (_, i) => {
    const symbol = symbols[Number(table.readBigUInt64LE(i * 16 + 8) >> 32n)]
    if (symbol === undefined || symbol.section !== mapsIndex || symbol.value % MAP_DEFINITION_SIZE !== 0)
      throw new DatapathError(`BPF program ${name} refers to ${symbol?.name ?? 'something'}, which is no map: calls and global data need newer kernels`)
    return { instruction: Number(table.readBigUInt64LE(i * 16)) / 8, map: symbol.name }
  })
  return { name, section: section.name, instructions: section.data, relocations }
}

/** The program's instructions with map descriptors filled in. */
export function relocate(program: ElfProgram, descriptors: ReadonlyMap<string, number>): Buffer {
  const code = Buffer.from(program.instructions)
  for (const { instruction, map } of program.relocations) {
    const fd = descriptors.get(map)
    if (fd === undefined) throw new DatapathError(`BPF program ${program.name} wants map ${map}, which isn't open`)
    const offset = instruction * 8
    code.writeUInt8((code.readUInt8(offset + 1) & 0x0f) | (PSEUDO_MAP_FD << 4), offset + 1)
    code.writeInt32LE(fd, offset + 4)
  }
  return code
}
