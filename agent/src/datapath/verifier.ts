/** What the running kernel's verifier makes of each program. */
import fs from 'node:fs'
import os from 'node:os'
import { createMap, loadProgram, PROGRAM_TYPE } from './bpf.ts'
import { parseElf, relocate, type ElfObject } from './elf.ts'
import { DatapathError } from './errors.ts'
import { cpus } from './cpus.ts'
import type { ProgramInfo } from './loader.ts'
import { raiseMemlock } from './system.ts'

/**
 * Loads the programs of objects into maps of their own, beside whatever is attached, has the verifier count what it goes through, and lets them go. An object whose maps the kernel
 * has no type for is left out. Throws DatapathError for a program that is refused.
 */
export function verifierStats(objectFiles: readonly string[]): ProgramInfo[] {
  raiseMemlock()
  return objectFiles.flatMap((file) => statsOf(parseElf(fs.readFileSync(file), file)))
}

function statsOf(object: ElfObject): ProgramInfo[] {
  const descriptors = new Map<string, number>()
  const open: number[] = []
  const possible = cpus('possible').length
  try {
    for (const [name, shape] of object.maps) {
      const fd = createMap(name, { ...shape, maxEntries: shape.maxEntries || possible })
      open.push(fd)
      descriptors.set(name, fd)
    }
    return object.programs.map((program) => {
      const { fd, processed } = loadProgram(program.name, relocate(program, descriptors), object.license, { stats: true, type: program.section.startsWith('xdp/') ? PROGRAM_TYPE.xdp : PROGRAM_TYPE.schedCls })
      open.push(fd)
      return { name: program.name, instructions: program.instructions.length / 8, processed }
    })
  } catch (error) {
    if (error instanceof DatapathError && error.errno === os.constants.errno.EINVAL && open.length < object.maps.size) return []
    throw error
  } finally {
    for (const fd of open) fs.closeSync(fd)
  }
}
