/** What the running kernel's verifier makes of each program. */
import fs from 'node:fs'
import os from 'node:os'
import { createMap } from './bpf.ts'
import { readElf, type ElfObject } from './elf.ts'
import { DatapathError } from './errors.ts'
import { cpus } from './cpus.ts'
import { loadElfProgram, shapeFor, type ProgramInfo } from './loader.ts'
import { raiseMemlock } from './system.ts'

/**
 * Loads the programs of objects into maps of their own, beside whatever is attached, has the verifier count what it goes through, and lets them go. An object whose maps the kernel
 * has no type for is left out. Throws DatapathError for a program that is refused.
 */
export function verifierStats(objectFiles: readonly string[]): ProgramInfo[] {
  raiseMemlock()
  return objectFiles.flatMap((file) => statsOf(readElf(file)))
}

function statsOf(object: ElfObject): ProgramInfo[] {
  const descriptors = new Map<string, number>()
  const open: number[] = []
  const possible = cpus('possible').length
  try {
    for (const [name, shape] of object.maps) {
      const fd = createMap(name, shapeFor(shape, possible))
      open.push(fd)
      descriptors.set(name, fd)
    }
    return object.programs.map((program) => {
      const { fd, info } = loadElfProgram(object, program, descriptors, true)
      open.push(fd)
      return info
    })
  } catch (error) {
    if (error instanceof DatapathError && error.errno === os.constants.errno.EINVAL && open.length < object.maps.size) return []
    throw error
  } finally {
    for (const fd of open) fs.closeSync(fd)
  }
}
