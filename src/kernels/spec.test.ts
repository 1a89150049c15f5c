import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { catalogue, catalogueNames } from './catalogue.ts'
import { checkKernelSpec } from './spec.ts'

const dir = mkdtempSync(join(tmpdir(), 'kernelbed-spec-'))
afterAll(() => rmSync(dir, { recursive: true }))

function image(name: string, release: string): string {
  const bytes = Buffer.alloc(4096)
  bytes.writeUInt8(4, 0x1f1)
  bytes.write('HdrS', 0x202, 'latin1')
  bytes.writeUInt16LE(0x300, 0x20e)
  bytes.write(`${release} (x@y) #1`, 0x500, 'latin1')
  writeFileSync(join(dir, name), bytes)
  return join(dir, name)
}

describe('a --kernel value', () => {
  it('is a line of the catalogue', () => {
    expect(checkKernelSpec('6.1')).toMatchObject({ kind: 'debian', kernel: { name: '6.1', source: { suites: ['bookworm'] } } })
  })

  it('that is unknown gets the nearest known name and the whole list', () => {
    expect(() => checkKernelSpec('6.11')).toThrow(expect.objectContaining({ message: 'unknown kernel "6.11" (did you mean "6.1"?)', blame: 'usage', hint: expect.stringContaining('4.9, 4.14') as unknown }))
    expect(() => checkKernelSpec('newst')).toThrow('did you mean "newest"?')
  })

  it('that Debian does not have says how to pass an image', () => {
    expect(() => checkKernelSpec('4.9')).toThrow(expect.objectContaining({ message: 'kernel 4.9 is not in Debian', hint: expect.stringContaining('--kernel 4.9=./bzImage') as unknown, exitCode: 2 }))
  })

  it('is a path, named by its release or its own file name', () => {
    expect(checkKernelSpec(image('bzImage', '4.9.154'))).toMatchObject({ kind: 'file', name: '4.9.154', header: { release: '4.9.154' } })
    expect(checkKernelSpec(image('patched', '4.9.154'))).toMatchObject({ name: 'patched' })
  })

  it('may give a path a name, also one of the catalogue', () => {
    expect(checkKernelSpec(`mine=${image('bzImage', '4.9.154')}`)).toMatchObject({ kind: 'file', name: 'mine' })
    expect(checkKernelSpec(`4.9=${image('bzImage', '4.9.154')}`)).toMatchObject({ kind: 'file', name: '4.9' })
  })

  it('that names a missing file is wrong use', () => {
    expect(() => checkKernelSpec('./no/bzImage')).toThrow(expect.objectContaining({ message: 'kernel image ./no/bzImage does not exist', exitCode: 2 }))
    expect(() => checkKernelSpec(`mine=${dir}`)).toThrow('is not a file')
  })
})

describe('--modules', () => {
  const modules = join(dir, 'lib/modules/5.4.1/kernel')
  mkdirSync(modules, { recursive: true })

  it('is found at the release, or in a folder above it', () => {
    const path = image('bzImage', '5.4.1')
    for (const given of [join(modules, '..'), join(dir, 'lib/modules'), dir]) expect(checkKernelSpec(path, { modules: given })).toMatchObject({ modules: join(dir, 'lib/modules/5.4.1') })
  })

  it('of another release is wrong use', () => {
    const path = image('bzImage', '5.5.0')
    expect(() => checkKernelSpec(path, { modules: join(dir, 'lib/modules') })).toThrow('no modules of 5.5.0 there')
    expect(() => checkKernelSpec(path, { modules: join(dir, 'lib/modules/5.4.1') })).toThrow('modules of 5.4.1, but the kernel is 5.5.0')
    expect(() => checkKernelSpec(path, { modules: '/no/such' })).toThrow('no such folder')
  })

  it('does not go with a catalogue name', () => {
    expect(() => checkKernelSpec('6.1', { modules: dir })).toThrow('--modules goes with a kernel image of your own')
  })
})

describe('the catalogue', () => {
  it('has no name twice, and each line says what is expected of the agent', () => {
    expect(new Set(catalogueNames).size).toBe(catalogueNames.length)
    expect(catalogue.filter((kernel) => kernel.agent === 'refuses').map((kernel) => kernel.name)).toEqual(['4.4'])
  })
})
