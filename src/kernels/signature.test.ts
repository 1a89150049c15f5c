import { describe, expect, it } from 'vitest'
import { readPublicKeys, readStatus, sameKey } from './signature.ts'

const fingerprint = '60AA7B6F30434AE68E569963E50C6A0917C622B0'
const status = (...lines: string[]): string => ['gpgv: something', ...lines.map((line) => `[GNUPG:] ${line}`)].join('\n')

describe('what gpgv says', () => {
  it('is a good signature only with the fingerprint of the primary key', () => {
    const valid = `VALIDSIG AAAA 2024-01-10 1704888000 0 4 0 1 10 00 ${fingerprint}`
    expect(readStatus(status('NEWSIG', 'GOODSIG E50C6A0917C622B0 Kernel PPA', valid))).toEqual({ kind: 'good', key: fingerprint })
    expect(readStatus(status(valid)).kind).toBe('no signature')
  })

  it('is a bad one, also beside a good one', () => {
    expect(readStatus(status('BADSIG E50C6A0917C622B0 Kernel PPA'))).toEqual({ kind: 'bad', key: 'E50C6A0917C622B0' })
    expect(readStatus(status('GOODSIG A x', 'VALIDSIG A', 'BADSIG B y')).kind).toBe('bad')
  })

  it('names an unknown key by its fingerprint, or by its id where the signature has no more', () => {
    expect(readStatus(status(`ERRSIG E50C6A0917C622B0 1 10 00 1704888000 9 ${fingerprint}`, 'NO_PUBKEY E50C6A0917C622B0'))).toEqual({ kind: 'unknown key', key: fingerprint })
    expect(readStatus(status('ERRSIG E50C6A0917C622B0 1 2 00 1461600000 9 -'))).toEqual({ kind: 'unknown key', key: 'E50C6A0917C622B0' })
    expect(sameKey(fingerprint, 'E50C6A0917C622B0')).toBe(true)
    expect(sameKey(fingerprint, '')).toBe(false)
  })

  it('does not take a revoked or expired key', () => {
    expect(readStatus(status('REVKEYSIG E50C6A0917C622B0 x', `VALIDSIG A 2 3 0 4 0 1 10 00 ${fingerprint}`))).toEqual({ kind: 'worn key', key: fingerprint })
    expect(readStatus(status('EXPKEYSIG E50C6A0917C622B0 x')).kind).toBe('worn key')
  })

  it('may be nothing', () => {
    expect(readStatus(status('NODATA 4')).kind).toBe('no signature')
  })
})

describe('a file of keys', () => {
  it('that holds none is wrong use', () => {
    expect(() => readPublicKeys(Buffer.from('rubbish'), 'key.asc')).toThrow(expect.objectContaining({ message: 'key.asc holds no OpenPGP public key', exitCode: 2 }))
    expect(() => readPublicKeys(Buffer.from([0x95, 1]), 'key.gpg')).toThrow('but a secret one')
  })

  it('may be armoured', () => {
    const armoured = '-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: x\n\nmQEN\nAAAA\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n'
    expect(readPublicKeys(Buffer.from(armoured), 'key.asc')).toEqual(Buffer.from('mQENAAAA', 'base64'))
  })
})
