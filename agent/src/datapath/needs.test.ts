import { expect, test } from 'vitest'
import type { ElfObject, ElfProgram } from './elf.ts'
import { missingLine, KernelLacks } from './errors.ts'
import { helperNeeds, mapNeeds } from './needs.ts'

const instruction = (code: number, registers: number, imm: number): Buffer => {
  const b = Buffer.alloc(8)
  b.writeUInt8(code, 0)
  b.writeUInt8(registers, 1)
  b.writeInt32LE(imm, 4)
  return b
}
const call = (helper: number): Buffer => instruction(0x85, 0, helper)
const program = (name: string, ...instructions: Buffer[]): ElfProgram => ({ name, section: `tc/${name}`, instructions: Buffer.concat(instructions), relocations: [] })
const object = (programs: ElfProgram[], maps: ElfObject['maps'] = new Map()): ElfObject => ({ programs, maps, license: 'GPL', options: [] })

test('helpers are told from the calls of all programs, each once, with who calls it', () => {
  expect(helperNeeds(object([program('a', call(26), call(1), call(26)), program('b', call(26))]))).toEqual([
    { id: 1, name: 'map_lookup_elem', since: '3.19', usedBy: ['a'] }, { id: 26, name: 'skb_load_bytes', since: '4.5', usedBy: ['a', 'b'] },
  ])
})

test('what only looks like a call of a helper is none', () => {
  const secondHalf = call(77), betweenPrograms = instruction(0x85, 1 << 4, 78)
  expect(helperNeeds(object([program('a', instruction(0x18, 0, 5), secondHalf, betweenPrograms)]))).toEqual([])
})

test('map types are told with the maps of them', () => {
  const shape = (type: number, keySize: number) => ({ type, keySize, valueSize: 8, maxEntries: 16, flags: 0 })
  expect(mapNeeds(object([], new Map([['ct', shape(1, 16)], ['lxc', shape(1, 4)], ['metrics', shape(5, 8)], ['odd', shape(99, 4)]])))).toEqual([
    { name: 'hash', since: '3.19', shape: shape(1, 16), usedBy: ['ct', 'lxc'] },
    { name: 'percpu_hash', since: '4.6', shape: shape(5, 8), usedBy: ['metrics'] },
    { name: 'number 99', since: undefined, shape: shape(99, 4), usedBy: ['odd'] },
  ])
})

test('what is missing is a line each: the feature, the kernel\'s answer, the version that brought it, who needs it', () => {
  const clsact = { feature: 'qdisc clsact', answer: 'RTM_NEWQDISC: ENOENT', since: '4.5' }
  const helper = { feature: 'BPF helper number 99', answer: 'BPF_PROG_LOAD: EINVAL, invalid func 99', since: undefined, usedBy: ['lb4', 'egress4'] }
  expect(missingLine({ ...clsact, advice: 'needs CONFIG_X' })).toMatch(/; came with 4\.5; needs CONFIG_X$/)
  expect(missingLine(clsact)).toBe('qdisc clsact: not supported by this kernel (RTM_NEWQDISC: ENOENT); came with 4.5')
  expect(new KernelLacks([clsact, helper]).message.split('\n')).toEqual([missingLine(clsact), 'BPF helper number 99: not supported by this kernel (BPF_PROG_LOAD: EINVAL, invalid func 99); needed by lb4, egress4'])
})
