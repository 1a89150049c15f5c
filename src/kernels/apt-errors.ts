import { KernelbedError } from '../core/errors.ts'
import type { CommandError } from '../core/command.ts'
import { RefusedError } from './refused.ts'

const kinds: readonly { readonly pattern: RegExp; readonly message: (of: string) => string; readonly hint: string; readonly refused?: true }[] = [
  { pattern: /no space left on device|enough free (disk )?space/i, message: (of) => `the disk is full: could not fetch from ${of}`, hint: 'free some space, or move the cache with XDG_CACHE_HOME' },
  { pattern: /NO_PUBKEY|is not signed|BADSIG|EXPKEYSIG|REVKEYSIG|invalid signature|signatures? (was|were) invalid|couldn't be verified|cannot be authenticated/i, message: (of) => `signature of ${of} could not be verified; nothing of it is used`, hint: 'as root: apt-get install --only-upgrade debian-archive-keyring; if that does not help, the mirror is not to be trusted', refused: true },
  { pattern: /hash sum mismatch|unexpected size|file has unexpected|hashes of expected file|connection closed prematurely|undetermined error|end of file.*premature|Mirror sync in progress/i, message: (of) => `damaged or truncated download from ${of}; nothing of it is kept`, hint: 'try again; if it stays, the mirror (or a proxy between) is broken: set another one in /etc/apt' },
  { pattern: /\b404\b|does not have a Release file/i, message: (of) => `the mirror does not have what its index names (${of})`, hint: 'the mirror may be in the middle of an update, or lacks this release: try again later or set another one in /etc/apt' },
  { pattern: /could not resolve|temporary failure resolving|could not connect|cannot initiate the connection|connection (refused|timed out|failed)|network is unreachable|\b(407|5\d\d) /i, message: (of) => `cannot reach the mirror of ${of}`, hint: 'check the network and the proxy that apt is set to use' },
  { pattern: /unable to locate package|no packages? found|version .* was not found|can't find a source/i, message: (of) => `no such package in ${of}`, hint: 'see whether the mirror carries this release' },
]

/** One message for a failed apt, by what it printed; its own lines that begin with E: or W: stay as evidence. */
export function explainApt(error: CommandError, of: string): KernelbedError {
  const output = `${error.result.stderr}\n${error.result.stdout}`
  const complaints = output.split('\n').filter((line) => /^(E|W|Err|N):|^\s{2,}\S/.test(line)).slice(0, 12).join('\n')
  const kind = kinds.find(({ pattern }) => pattern.test(complaints || output))
  if (!kind) return error
  if (kind.refused) return new RefusedError(kind.message(of), { details: complaints, hint: kind.hint })
  return new KernelbedError(kind.message(of), { blame: 'host', details: complaints, hint: kind.hint, cause: undefined })
}
