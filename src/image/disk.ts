import { runCommand } from '../core/command.ts'
import type { Context } from '../core/context.ts'
import { shellQuote } from '../core/shell-quote.ts'
import { searchPath } from './host-tools.ts'

/** Runs a shell script as root, or under fakeroot, which remembers owners of files for the length of the script: unpack and mke2fs in one. */
export async function rootScript(script: string, ctx: Context, onLine?: (line: string) => void): Promise<void> {
  const root = process.getuid?.() === 0
  await runCommand(root ? 'sh' : 'fakeroot', [...(root ? [] : ['--', 'sh']), '-ec', script], { env: { PATH: searchPath(), LC_ALL: 'C' }, signal: ctx.signal, timeoutMs: 15 * 60_000, ...(onLine ? { onLine } : {}) })
}

/**
 * Shell command that makes a raw, sparse ext4 disk of a folder: features that 4.4 knows; no journal, as a machine's disk is thrown away; nothing left for
 * the kernel's background initialisation (a new sparse file reads as zeros).
 */
export function mke2fs(from: string, disk: string, megabytes: number, inodes: number): string {
  const features = ['^has_journal', '^metadata_csum', '^metadata_csum_seed', '^64bit', '^orphan_file'].join(',')
  return `mke2fs -q -F -t ext4 -b 4096 -m 0 -N ${inodes} -O ${features} -E lazy_itable_init=1,assume_storage_prezeroed=1,root_owner=0:0 -d ${shellQuote(from)} ${shellQuote(disk)} ${megabytes}M`
}
