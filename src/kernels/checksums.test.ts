import { describe, expect, it } from 'vitest'
import { chooseDebs, newestFirst, parseChecksums } from './checksums.ts'

const sum = (digit: string): string => digit.repeat(64)
const build = '4.9.76-040976-generic_4.9.76-040976.201801100432'
const list = (...names: string[]): ReadonlyMap<string, string> => new Map(names.map((name, i) => [name, sum(String(i))]))

describe('a CHECKSUMS file', () => {
  it('gives the SHA-256 of each file, not the SHA-1', () => {
    const text = `# Checksums-Sha1:\n${'a'.repeat(40)}  a.deb\n#\n# Checksums-Sha256:\n${sum('A')}  a.deb\n${sum('2')} *./b.deb\n`
    expect([...parseChecksums(text)]).toEqual([['a.deb', sum('a')], ['b.deb', sum('2')]])
  })
})

describe('the packages of a kernel', () => {
  it('are image and modules of the generic amd64 build', () => {
    const generic = '4.14.120-0414120-generic_4.14.120-0414120.201905161610_amd64.deb'
    const listed = list('COMMIT', `linux-headers-${generic}`, `linux-image-unsigned-${generic.replace('generic', 'lowlatency')}`, `linux-image-unsigned-${generic.replace('amd64', 'i386')}`, `linux-modules-${generic}`, `linux-image-unsigned-${generic}`)
    expect(chooseDebs(listed, '4.14')).toEqual({ debs: [{ path: `linux-image-unsigned-${generic}`, sha256: sum('5') }, { path: `linux-modules-${generic}`, sha256: sum('4') }] })
  })

  it('are one package before 4.14.39, and may be in a folder of their architecture', () => {
    expect(chooseDebs(list(`linux-image-${build}_amd64.deb`), '4.9')).toEqual({ debs: [{ path: `linux-image-${build}_amd64.deb`, sha256: sum('0') }] })
    expect(chooseDebs(list(`amd64/linux-image-${build}_amd64.deb`), '4.9')).toMatchObject({ debs: [{ path: `amd64/linux-image-${build}_amd64.deb` }] })
  })

  it('may have a name of their builder\'s own', () => {
    expect(chooseDebs(list('linux-image-4.9.154_4.9.154-1_amd64.deb', 'linux-image-4.9.154-dbg_4.9.154-1_amd64.deb'), '4.9')).toMatchObject({ debs: [{ path: 'linux-image-4.9.154_4.9.154-1_amd64.deb' }] })
  })

  it('are none of another line or architecture, and none whose name leads elsewhere', () => {
    expect(chooseDebs(list(`linux-image-${build}_amd64.deb`), '4.90')).toEqual({ none: 'no image of a 4.90 kernel' })
    expect(chooseDebs(list(`linux-image-${build}_arm64.deb`), '4.9')).toEqual({ none: 'builds for arm64 only; the machines are amd64' })
    expect(chooseDebs(list(`../linux-image-${build}_amd64.deb`, `linux-image-4.9.76-..-generic_1_amd64.deb`), '4.9')).toHaveProperty('none')
  })
})

it('versions are ordered by their numbers', () => {
  expect(newestFirst(['4.9', '4.9.99', '4.9.154', '4.9.9'])).toEqual(['4.9.154', '4.9.99', '4.9.9', '4.9'])
})
