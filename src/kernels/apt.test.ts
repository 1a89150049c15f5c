import { describe, expect, it } from 'vitest'
import { CommandError } from '../core/command.ts'
import { explainApt } from './apt-errors.ts'
import { parsePackage } from './apt.ts'
import { parseMirrors, releasesOf, sourceLines } from './mirrors.ts'

describe('the mirrors of the host\'s apt', () => {
  it('are those of origin Debian, security apart', () => {
    const targets = [
      'Debian|Debian-Security|http://mirror.example/debian-security/|bookworm-security',
      'Node Source|Node Source|https://deb.nodesource.com/node_20.x/|nodistro',
      'Debian|Debian|http://mirror.example/debian/|bookworm',
    ]
    expect(parseMirrors(targets.join('\n'))).toEqual({ main: 'http://mirror.example/debian', security: 'http://mirror.example/debian-security' })
  })

  it('are told by their path before the first update', () => {
    expect(parseMirrors('$(ORIGIN)|$(LABEL)|http://mirror.example/debian/|bookworm\n||http://mirror.example/debian-security/|bookworm-security')).toEqual({ main: 'http://mirror.example/debian', security: 'http://mirror.example/debian-security' })
  })

  it('are told by what an update would fetch where there was none, as in a container image', () => {
    const uris = "'http://mirror.example/debian/dists/bookworm/InRelease' mirror.example_debian_dists_bookworm_InRelease 0 \n'http://mirror.example/debian-security/dists/bookworm-security/InRelease' x 0 \n'http://mirror.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' x 0 \n"
    expect(parseMirrors(releasesOf(uris))).toEqual({ main: 'http://mirror.example/debian', security: 'http://mirror.example/debian-security' })
  })

  it('may be none', () => {
    expect(parseMirrors('Ubuntu|Ubuntu|http://archive.ubuntu.com/ubuntu/|jammy')).toBeUndefined()
  })

  it('give a release its security updates, but not sid and backports', () => {
    const mirrors = { main: 'http://m/debian', security: 'http://m/debian-security' }
    expect(sourceLines('trixie', mirrors).map((line) => line.replace(/\[.*\] /, ''))).toEqual(['deb http://m/debian trixie main', 'deb http://m/debian-security trixie-security main'])
    expect(sourceLines('sid', mirrors)).toHaveLength(1)
    expect(sourceLines('bookworm-backports', mirrors)).toHaveLength(1)
    expect(sourceLines('bookworm-security', mirrors).map((line) => line.replace(/\[.*\] /, ''))).toEqual(['deb http://m/debian-security bookworm-security main'])
    expect(sourceLines('bookworm', { main: 'http://m/debian' }, true)[0]).toMatch(/^deb-src \[arch=amd64 signed-by=.*keyring.gpg\]/)
  })
})

describe('a package as apt-cache shows it', () => {
  it('has a name, a version and the names it depends on', () => {
    const stanza = 'Package: linux-image-cloud-amd64\nSource: linux-signed-amd64\nVersion: 6.1.192-2\nDepends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2), kmod | other, libc6:any\nDescription: x\n'
    expect(parsePackage(stanza)).toEqual({ name: 'linux-image-cloud-amd64', version: '6.1.192-2', depends: ['linux-image-6.1.0-56-cloud-amd64', 'kmod', 'libc6'] })
  })

  it('may have no dependencies, or not be there', () => {
    expect(parsePackage('Package: a\nVersion: 1\n')?.depends).toEqual([])
    expect(parsePackage('')).toBeUndefined()
  })
})

describe('a failed apt', () => {
  const failed = (stderr: string): string => explainApt(new CommandError('exit code 100', { command: 'apt-get update', exitCode: 100, stdout: '', stderr }, {}, undefined), 'Debian sid').message

  it('is explained in one sentence', () => {
    expect(failed('E: The repository \'http://m/debian sid InRelease\' is not signed.')).toBe('signature of Debian sid could not be verified; nothing of it is used')
    expect(failed('W: GPG error: http://m: The following signatures couldn\'t be verified because the public key is not available: NO_PUBKEY 648ACFD622F3D138')).toContain('could not be verified')
    expect(failed('E: Failed to fetch http://m/x.deb  File has unexpected size (10 != 20). Mirror sync in progress?')).toBe('damaged or truncated download from Debian sid; nothing of it is kept')
    expect(failed('E: Failed to fetch http://m/x.deb  Hash Sum mismatch')).toContain('damaged or truncated')
    expect(failed('E: Failed to fetch http://m/x.deb  404  Not Found [IP: 10.0.0.1 80]')).toContain('does not have what its index names')
    expect(failed('Err:1 http://m sid InRelease\n  Temporary failure resolving \'m\'')).toBe('cannot reach the mirror of Debian sid')
    expect(failed('E: Unable to locate package linux-image-9')).toBe('no such package in Debian sid')
    expect(failed('E: You don\'t have enough free space in /x')).toContain('the disk is full')
  })

  it('stays as it is when nobody knows the reason', () => {
    expect(failed('E: Sub-process returned an error')).toBe('exit code 100: apt-get update')
  })
})
