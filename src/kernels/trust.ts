import { readFileSync } from 'node:fs'
import type { Context } from '../core/context.ts'
import { findTrusted, recordTrust, trustedOf, type TrustedRecord } from './first-use.ts'
import { archiveKey, forgetArchiveKey } from './keys.ts'
import { RefusedError } from './refused.ts'
import { checkSignature, readPublicKeys, sameKey, type SignatureCheck } from './signature.ts'
import type { Archive } from './ubuntu-archive.ts'

/** Whose signature counts for a source. */
export type Trust =
  /** Signed by the one key of an archive, known by its fingerprint. */
  | { readonly by: 'archive'; readonly archive: Archive }
  /** Signed by a key of this file (KERNELBED_MIRROR_KEY). */
  | { readonly by: 'key file'; readonly file: string }
  /** Nobody said: a faithful copy of the archive is known by the archive's signature, anything else by what was trusted on first use. */
  | { readonly by: 'nothing'; readonly archive: Archive }

/** A CHECKSUMS file as a source hands it out. */
export interface Claimed {
  /** The origin's address, and the folder in it. */
  readonly base: string
  readonly folder: string
  readonly checksums: Buffer
  readonly signature: Buffer | undefined
}

export interface Verdict {
  /** Why it is believed, for people: `signed by 60AA…`. */
  readonly why: string
  /** To be called when everything else about the kernel has proven right: writes down what is trusted from now on. */
  readonly confirm: () => void
}

/**
 * Decides whether a CHECKSUMS file is believed. `firstUse`: the person said --trust-on-first-use. Throws RefusedError, which says what to do; a usage error for a key file
 * that is none.
 */
export async function verifyChecksums(claimed: Claimed, trust: Trust, firstUse: boolean, ctx: Context): Promise<Verdict> {
  const { check, keyError } = await checkAgainst(claimed, trust, ctx)
  if (check?.kind === 'good') return { why: `signed by ${check.key}`, confirm: () => undefined }
  if (check?.kind === 'bad') throw new RefusedError(`${place(claimed)}/CHECKSUMS is not what ${check.key} signed`, { hint: 'the source is damaged or was tampered with; nothing of it is used' })
  if (check?.kind === 'worn key') throw new RefusedError(`${place(claimed)}/CHECKSUMS is signed by ${check.key}, which has expired or was revoked`, { hint: 'take the kernel from elsewhere' })
  if (check?.kind === 'no signature') throw new RefusedError(`${place(claimed)}/CHECKSUMS.gpg is no OpenPGP signature`, { hint: 'the source is damaged; nothing of it is used' })
  const signer = check?.key
  if (trust.by === 'key file') throw new RefusedError(`${place(claimed)}/CHECKSUMS is ${signedBy(signer)}`, { hint: `only keys of ${trust.file} (KERNELBED_MIRROR_KEY) are trusted` })
  if (trust.by === 'archive' && (signer === undefined || !sameKey(trust.archive.fingerprint, signer))) throw new RefusedError(`${place(claimed)}/CHECKSUMS is ${signedBy(signer)}`, { hint: `only the archive's key ${trust.archive.fingerprint} is trusted` })
  return onFirstUse(claimed, signer, firstUse, keyError, ctx)
}

const place = ({ base, folder }: Claimed): string => `${base}/${folder}`
const signedBy = (signer: string | undefined): string => (signer === undefined ? 'not signed (no CHECKSUMS.gpg)' : `signed by an unknown key, ${signer}`)

/** The signature's check with the keys that count; `keyError` says why the archive's key could not be had, where the signature names it. */
async function checkAgainst(claimed: Claimed, trust: Trust, ctx: Context): Promise<{ check?: SignatureCheck; keyError?: string }> {
  const { checksums, signature } = claimed
  if (signature === undefined) return {}
  if (trust.by === 'key file') return { check: await checkSignature(checksums, signature, readPublicKeys(readFileSync(trust.file), `KERNELBED_MIRROR_KEY: ${trust.file}`), ctx) }
  const claim = await checkSignature(checksums, signature, Buffer.alloc(0), ctx)
  const { archive } = trust
  if (claim.kind !== 'unknown key' || !sameKey(archive.fingerprint, claim.key)) return { check: claim }
  const key = await archiveKey(archive, ctx).catch((error: unknown) => (error instanceof Error ? error.message : String(error)))
  if (typeof key === 'string') return { check: claim, keyError: key }
  const check = await checkSignature(checksums, signature, key, ctx)
  if (check.kind === 'good' ? check.key === archive.fingerprint : check.kind !== 'unknown key') return { check }
  forgetArchiveKey(archive, ctx)
  return { check: claim, keyError: `what ${archive.keyUrl} answers is not the key ${archive.fingerprint}` }
}

/** No key to check with: what was trusted before must be the same now; what is new takes the person's word. */
function onFirstUse(claimed: Claimed, signer: string | undefined, firstUse: boolean, keyError: string | undefined, ctx: Context): Verdict {
  const known = findTrusted(claimed, ctx)
  const before = trustedOf(claimed.base, ctx)
  assertUnchanged(claimed, signer, known, before)
  if (known) return { why: `as trusted on ${known.when.slice(0, 10)}`, confirm: () => undefined }
  if (!firstUse) {
    throw new RefusedError(`${place(claimed)}/CHECKSUMS is ${keyError === undefined ? signedBy(signer) : `signed by ${signer}, and that key could not be had`}`, {
      ...(keyError === undefined ? {} : { details: keyError }),
      hint: `${keyError === undefined ? 'give the key that signs it (KERNELBED_MIRROR_KEY=file)' : 'try again when the key server can be reached'}, or say --trust-on-first-use: its digest is then recorded, and must stay the same from then on`,
    })
  }
  return { why: `trusted on first use${signer === undefined ? '' : `, signer ${signer} not verified`}`, confirm: () => recordTrust(claimed, signer, ctx) }
}

function assertUnchanged(claimed: Claimed, signer: string | undefined, known: TrustedRecord | undefined, before: readonly TrustedRecord[]): void {
  const hint = (record: TrustedRecord): string => `the source was changed or tampered with; if the change is meant, remove ${record.file} and say --trust-on-first-use again`
  if (known && !known.same) throw new RefusedError(`${place(claimed)}/CHECKSUMS is not the one trusted on ${known.when.slice(0, 10)}`, { hint: hint(known) })
  const other = before.find(({ key }) => key !== undefined && (signer === undefined || !sameKey(key, signer)))
  if (other) throw new RefusedError(`${place(claimed)}/CHECKSUMS is ${signer === undefined ? 'not signed' : `signed by ${signer}`}; when first used, the source was signed by ${other.key}`, { hint: hint(other) })
}
