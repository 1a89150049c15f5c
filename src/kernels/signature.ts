import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand } from '../core/command.ts'
import { usageError } from '../core/errors.ts'
import type { Context } from '../core/context.ts'

/** What gpgv says of a detached signature. `key`: the signer's fingerprint (of its primary key where the key is known), or its 16-digit id where the signature names no more. */
export type SignatureCheck =
  | { readonly kind: 'good'; readonly key: string }
  /** The data is not what was signed. */
  | { readonly kind: 'bad'; readonly key: string }
  /** Made by a key that the keyring doesn't hold: says who claims to have signed, proves nothing. */
  | { readonly kind: 'unknown key'; readonly key: string }
  /** Good, but by a key that has expired or was revoked. */
  | { readonly kind: 'worn key'; readonly key: string }
  | { readonly kind: 'no signature' }

/** Checks a detached signature with gpgv. `keyring`: OpenPGP keys in binary form; empty to learn who claims to have signed. */
export async function checkSignature(data: Buffer, signature: Buffer, keyring: Buffer, ctx: Context): Promise<SignatureCheck> {
  const dir = mkdtempSync(join(ctx.sockets, 'gpgv-'))
  try {
    const [keys, sig, file] = [['keys.gpg', keyring], ['sig', signature], ['data', data]].map(([name, content]) => {
      const path = join(dir, name as string)
      writeFileSync(path, content as Buffer)
      return path
    }) as [string, string, string]
    const { stdout } = await runCommand('gpgv', ['--homedir', dir, '--status-fd', '1', '--keyring', keys, sig, file], { allowFailure: true, signal: ctx.signal, timeoutMs: 60_000, env: { LC_ALL: 'C' }, hint: 'as root: apt-get install gpgv' })
    return readStatus(stdout)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** From gpgv's status lines (GnuPG's doc/DETAILS). */
export function readStatus(status: string): SignatureCheck {
  const lines = status.split('\n').flatMap((line) => (line.startsWith('[GNUPG:] ') ? [line.slice(9).trim().split(' ')] : []))
  const find = (...names: string[]): string[] | undefined => lines.find(([name]) => names.includes(name ?? ''))
  const bad = find('BADSIG')
  if (bad) return { kind: 'bad', key: bad[1] ?? '' }
  const valid = find('VALIDSIG')
  // The last field is the primary key's fingerprint, the first the one of the (sub)key that signed.
  if (valid && find('GOODSIG')) return { kind: 'good', key: valid[10] ?? valid[1] ?? '' }
  const worn = find('EXPKEYSIG', 'REVKEYSIG', 'EXPSIG')
  if (worn) return { kind: 'worn key', key: valid?.[10] ?? worn[1] ?? '' }
  const unknown = find('ERRSIG')
  if (unknown) return { kind: 'unknown key', key: (unknown[7] ?? '-') === '-' ? (unknown[1] ?? '') : unknown[7]! }
  return { kind: 'no signature' }
}

/** Whether two names of a key can mean the same: fingerprints, or the last 16 digits of one. */
export const sameKey = (a: string, b: string): boolean => a !== '' && b !== '' && (a.endsWith(b) || b.endsWith(a))

/** Public keys in binary form, from that or from their armoured form. Throws a usage error that names `file` for anything else. */
export function readPublicKeys(content: Buffer, file: string): Buffer {
  const blocks = content.toString('latin1').match(/-----BEGIN PGP PUBLIC KEY BLOCK-----[\s\S]*?-----END PGP PUBLIC KEY BLOCK-----/g)
  const keys = blocks ? Buffer.concat(blocks.map(dearmour)) : content
  const tag = packetTag(keys)
  if (tag === 6) return keys
  throw usageError(`${file} holds no OpenPGP public key${tag === 5 ? ', but a secret one' : ''}`, 'export it: gpg --export --armor KEY')
}

/** The body is what is after the headers' empty line; the line that begins with `=` is a checksum of it (RFC 4880, 6.2). */
function dearmour(block: string): Buffer {
  const lines = block.split(/\r?\n/).slice(1, -1)
  const body = lines.slice(lines.findIndex((line) => line.trim() === '') + 1).filter((line) => !line.startsWith('='))
  return Buffer.from(body.join(''), 'base64')
}

/** Kind of the first packet (RFC 4880, 4.2): 6 a public key, 5 a secret one. */
function packetTag(keys: Buffer): number | undefined {
  const first = keys[0]
  if (first === undefined || (first & 0x80) === 0) return undefined
  return (first & 0x40) === 0 ? (first >> 2) & 15 : first & 63
}
