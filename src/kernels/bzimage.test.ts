import { describe, expect, it } from 'vitest'
import { lineOf, parseBzImage } from './bzimage.ts'

interface Shape { readonly release?: string; readonly sysSize?: number; readonly xloadflags?: number }

/** The least of a bzImage: 5 sectors of set-up, `sysSize` paragraphs of 16 bytes, protocol 2.15. */
function bzImage({ release = '6.1.0-40-cloud-amd64 (debian@x) #1 SMP', sysSize = 64, xloadflags = 1 }: Shape = {}): Buffer {
  const image = Buffer.alloc(5 * 512 + sysSize * 16)
  image.writeUInt8(4, 0x1f1)
  image.writeUInt32LE(sysSize, 0x1f4)
  image.write('HdrS', 0x202, 'latin1')
  image.writeUInt16LE(0x20f, 0x206)
  image.writeUInt16LE(0x300, 0x20e)
  image.writeUInt16LE(xloadflags, 0x236)
  image.write(release, 0x500, 'latin1')
  return image
}

const parse = (image: Buffer, size = image.length): { release: string } => parseBzImage(image, size, '/k/bzImage')

describe('a bzImage header', () => {
  it('gives the release as uname prints it', () => {
    expect(parse(bzImage()).release).toBe('6.1.0-40-cloud-amd64')
  })

  it('gives the line of a release', () => {
    expect(['6.1.0-40-cloud-amd64', '4.9.154', '7.2.13+deb14-cloud-amd64'].map(lineOf)).toEqual(['6.1', '4.9', '7.2'])
  })

  it('tells a truncated file by the length that the header names', () => {
    expect(() => parse(bzImage(), 3000)).toThrow('/k/bzImage is truncated: it is 3000 bytes long, its header says 3584')
  })

  it('refuses a 32-bit kernel', () => {
    expect(() => parse(bzImage({ xloadflags: 0 }))).toThrow('a 32-bit x86 kernel; the machines are x86-64')
  })

  it('refuses a header without a version', () => {
    expect(() => parse(bzImage({ release: '' }))).toThrow('has no version string')
    expect(() => parse(bzImage({ release: 'rubbish' }))).toThrow('its version string is "rubbish"')
  })
})

describe('a file that is no bzImage', () => {
  const elf = (machine: number): Buffer => {
    const head = Buffer.alloc(1024)
    head.writeUInt32BE(0x7f454c46, 0)
    head.writeUInt16LE(machine, 18)
    return head
  }
  const message = 'is not a Linux kernel image (no HdrS magic at 0x202)'

  it('is reported as such, with what is wrong on this host to blame', () => {
    expect(() => parse(Buffer.from('root:x:0:0'))).toThrow(message)
    expect(() => parse(Buffer.alloc(2048))).toThrow(expect.objectContaining({ blame: 'host', exitCode: 3 }))
    expect(() => parse(Buffer.alloc(0))).toThrow(`${message}: it is empty`)
  })

  it('is named when it is a kernel of another kind', () => {
    expect(() => parse(elf(183))).toThrow('an ELF file for arm64; the machines are x86-64')
    expect(() => parse(elf(62))).toThrow('vmlinux?')
    const arm64 = Buffer.alloc(1024)
    arm64.write('ARMd', 56, 'latin1')
    expect(() => parse(arm64)).toThrow('a kernel for arm64')
  })

  it('is named when it is a package or a web page', () => {
    expect(() => parse(Buffer.from('!<arch>\ndebian-binary'.padEnd(1024)))).toThrow('a package; a Debian package is taken when its name ends in .deb')
    expect(() => parse(Buffer.from('<!DOCTYPE html>'.padEnd(1024)))).toThrow('a web page')
  })
})
