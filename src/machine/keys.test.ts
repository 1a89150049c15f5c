import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import ssh2 from 'ssh2'
import { describe, expect, it } from 'vitest'
import { runKey } from './keys.ts'
import { newEd25519Key } from './openssh-key.ts'

describe('runKey', () => {
  it('makes one key a run, readable by its owner only, that OpenSSH takes', () => {
    const dir = mkdtempSync(join(tmpdir(), 'kb-'))
    const key = runKey({ dir })
    expect(runKey({ dir })).toEqual(key)
    expect(statSync(key.file).mode & 0o777).toBe(0o600)
    expect(execFileSync('ssh-keygen', ['-y', '-f', key.file], { encoding: 'utf8' })).toBe(`ssh-ed25519 ${key.publicBlob} kernelbed\n`)
    rmSync(dir, { recursive: true })
  })
})

describe('newEd25519Key', () => {
  // ssh2's own generator fails this for one key in 256.
  it('makes keys that ssh2 takes, also when the public key begins with zero bytes', () => {
    for (let i = 0; i < 1000; i++) {
      const key = newEd25519Key('c'.repeat(i % 9))
      const parsed = ssh2.utils.parseKey(key.privateFile)
      if (parsed instanceof Error) throw parsed
      expect(parsed.getPublicSSH().toString('base64')).toBe(key.publicBlob)
    }
  })
})
