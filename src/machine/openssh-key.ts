import { generateKeyPairSync, randomBytes } from 'node:crypto'

export interface Ed25519Key {
  /** The file OpenSSH's ssh-keygen would write (PROTOCOL.key), without a passphrase. */
  readonly privateFile: string
  /** Base64 of the public key blob: the middle word of a .pub file. */
  readonly publicBlob: string
}

const TYPE = 'ssh-ed25519'
const BLOCK = 8

/**
 * A new ed25519 key in OpenSSH's format. Not by ssh2's own generator: 1.17 drops a public key's leading zero bytes, so that one key in 256 is
 * broken ("Malformed OpenSSH private key").
 */
export function newEd25519Key(comment: string): Ed25519Key {
  const { x = '', d = '' } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' })
  const publicKey = Buffer.from(x, 'base64url')
  const seed = Buffer.from(d, 'base64url')
  const blob = Buffer.concat([field(TYPE), field(publicKey)])
  const check = randomBytes(4)
  const secrets = pad(Buffer.concat([check, check, field(TYPE), field(publicKey), field(Buffer.concat([seed, publicKey])), field(comment)]))
  const one = Buffer.from([0, 0, 0, 1])
  const file = Buffer.concat([Buffer.from('openssh-key-v1\0'), field('none'), field('none'), field(''), one, field(blob), field(secrets)])
  const lines = file.toString('base64').replace(/.{70}/g, '$&\n').trimEnd()
  return { privateFile: `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines}\n-----END OPENSSH PRIVATE KEY-----\n`, publicBlob: blob.toString('base64') }
}

/** RFC 4251's `string`. */
function field(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

/** With 1, 2, 3, … to a whole block. */
function pad(bytes: Buffer): Buffer {
  const missing = (BLOCK - (bytes.length % BLOCK)) % BLOCK
  return Buffer.concat([bytes, Buffer.from(Array.from({ length: missing }, (_, i) => i + 1))])
}
