import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { shellQuote } from '../core/shell-quote.ts'
import { mke2fs } from './disk.ts'
import { guestPackages } from './rootfs.ts'

const guest = join(import.meta.dirname, 'guest')

describe('the guest', () => {
  it('has init scripts without syntax errors', () => {
    for (const script of ['kernelbed-init', 'kernelbed-late']) execFileSync('sh', ['-n', join(guest, script)])
  })

  it('starts what inittab names with programs of its packages', () => {
    const inittab = readFileSync(join(guest, 'inittab'), 'utf8')
    expect(inittab).toContain('/usr/sbin/dropbear -F -E -s -a')
    expect(guestPackages).toEqual(expect.arrayContaining(['dropbear-bin', 'busybox-static', 'containerd', 'iptables']))
  })
})

describe('a disk', () => {
  it('has no feature that 4.4 does not know, and no journal', () => {
    expect(mke2fs('/a b', '/d', 100, 1000)).toMatch(/-O \^has_journal,\^metadata_csum,\^metadata_csum_seed,\^64bit,\^orphan_file .*-d '\/a b' '\/d' 100M$/)
  })

  it('is made by a shell that takes any path', () => {
    expect(execFileSync('sh', ['-c', `printf %s ${shellQuote('it\'s $HOME')}`]).toString()).toBe('it\'s $HOME')
  })
})
