import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseElf, relocate, type ElfObject } from './elf.ts'
import { helperNeeds, mapNeeds } from './needs.ts'

const bpf = path.join(import.meta.dirname, '../../bpf')
const clang = ['clang-14', 'clang'].find((name) => {
  try {
    return execFileSync(name, ['--version']).length > 0
  } catch {
    return false
  }
})

test('what is no ELF file is refused with advice', () => {
  expect(() => parseElf(Buffer.from('hello'), 'lash.o')).toThrow('lash.o is no BPF object; compile agent/bpf/lash.c as its first comment says')
})

describe.skipIf(clang === undefined)('the compiled object', () => {
  let folder: string, object: ElfObject
  const compile = (source: string, ...flags: string[]): Buffer => {
    execFileSync(clang!, ['-O2', '-target', 'bpf', '-mcpu=v1', '-Wall', '-Werror', '-I', bpf, ...flags, '-c', source, '-o', path.join(folder, 'out.o')])
    return fs.readFileSync(path.join(folder, 'out.o'))
  }
  beforeAll(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lash-elf-'))
    object = parseElf(compile(path.join(bpf, 'lash.c')))
  })
  afterAll(() => fs.rmSync(folder, { recursive: true }))

  test('needs nothing of the kernel whose version is not known here', () => {
    expect([...helperNeeds(object), ...mapNeeds(object)].filter(({ since }) => since === undefined)).toEqual([])
  })

  test('has the programs, maps and license that the loader looks for', () => {
    expect(object.programs.map(({ name, section }) => [name, section])).toEqual([
      ['from_container', 'tc/from_container'], ['from_host', 'tc/from_host'], ['from_netdev', 'tc/from_netdev'], ['from_overlay', 'tc/from_overlay'],
      ['lb4', 'tail/0'], ['identify4', 'tail/4'], ['egress4', 'tail/1'], ['deliver4', 'tail/2'], ['to_stack4', 'tail/3'], ['to_proxy4', 'tail/5'], ['from_proxy4', 'tail/6'],
      ['from_container6', 'tail/8'], ['from_host6', 'tail/9'], ['from_netdev6', 'tail/20'], ['from_overlay6', 'tail/10'], ['lb6', 'tail/14'], ['identify6', 'tail/11'], ['egress6', 'tail/12'], ['send6', 'tail/15'],
      ['deliver6', 'tail/13'], ['reverse6', 'tail/16'], ['to_stack6', 'tail/17'], ['to_proxy6', 'tail/18'], ['from_proxy6', 'tail/19'],
    ])
    expect(object.license).toBe('GPL')
    expect(object.options).toEqual([])
    expect(object.maps.get('cilium_ct4_global')).toEqual({ type: 1, keySize: 16, valueSize: 56, maxEntries: 65536, flags: 0 })
    expect(object.maps.get('cilium_ct6_global')).toEqual({ type: 1, keySize: 40, valueSize: 72, maxEntries: 32768, flags: 0 })
  })

  test('keeps every program below what 4.9 takes', () => {
    for (const program of object.programs) expect(program.instructions.length / 8, program.name).toBeLessThanOrEqual(4096)
  })

  test('gets map descriptors into its instructions', () => {
    const program = object.programs[0]!
    const code = relocate(program, new Map([...object.maps.keys()].map((name, i) => [name, 100 + i])))
    const { instruction, map } = program.relocations[0]!
    expect(code.readUInt8(instruction * 8)).toBe(0x18)
    expect(code.readUInt8(instruction * 8 + 1) >> 4).toBe(1)
    expect(code.readInt32LE(instruction * 8 + 4)).toBe(100 + [...object.maps.keys()].indexOf(map))
  })

  test('global data is refused before a kernel has to', () => {
    const source = path.join(folder, 'global.c')
    fs.writeFileSync(source, 'int counter = 1;\n__attribute__((section("tc/x"))) int x(void *skb) { return counter++; }\n')
    expect(() => parseElf(compile(source), 'global.o')).toThrow("global.o has global data (.data), which Linux before 5.2 can't load")
  })
})
