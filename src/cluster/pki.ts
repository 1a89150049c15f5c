import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { join } from 'node:path'
import * as der from './der.ts'

const day = 24 * 3600 * 1000
/** A guest's clock may lag behind the host's, above all after a restore from a snapshot. */
const validBefore = day
/** Machines restored from a snapshot bring their certificates along, so these outlive a run. */
const validAfter = 30 * day

/** PEM files of a certificate and its key (mode 600). */
export interface KeyPair { readonly cert: string; readonly key: string }

/** Who a certificate is for. Kubernetes takes the common name as user and the organisations as groups. */
export interface Subject {
  readonly commonName: string
  readonly organisations?: readonly string[]
  /** DNS names and IPv4 addresses of a server; its presence makes it a server certificate too. */
  readonly hosts?: readonly string[]
}

/** The cluster's certificate authority; keys and certificates are files in one folder. */
export interface Authority {
  readonly dir: string
  /** The CA's own; nodes get its certificate, the controller manager signs with its key. */
  readonly ca: KeyPair
  /** Issues `<dir>/<name>.crt` and `.key`: ECDSA P-256, signed with SHA-256. */
  issue(name: string, subject: Subject): KeyPair
}

interface Keys { readonly publicKey: KeyObject; readonly privateKey: KeyObject }

/** The authority in `dir`, made when there is none yet; one that came with a snapshot goes on, as its nodes' certificates do. */
export function createAuthority(dir: string): Authority {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const there = { cert: join(dir, 'ca.crt'), key: join(dir, 'ca.key') }
  const keys = existsSync(there.key) ? keysIn(there.key) : newKeys()
  const issuer = { name: nameOf({ commonName: 'kernelbed-ca' }), keys }
  const ca = existsSync(there.cert) ? there : write(dir, 'ca', certificate(issuer, issuer.name, keys.publicKey, [
    extension('2.5.29.19', true, der.sequence(der.boolean(true))),
    extension('2.5.29.15', true, keyUsage(0x86)), // digitalSignature, keyCertSign, cRLSign
    extension('2.5.29.14', false, der.octets(keyId(keys.publicKey))),
  ]), keys)
  return { dir, ca, issue: (name, subject) => issue(dir, issuer, name, subject) }
}

/** A bare key pair, as service account tokens are signed with: PEM files of the private (600) and public key. Made when there is none yet. */
export function createSigningKey(dir: string, name: string): { readonly key: string; readonly publicKey: string } {
  const files = { key: join(dir, `${name}.key`), publicKey: join(dir, `${name}.pub`) }
  if (existsSync(files.key)) return files
  const { privateKey, publicKey } = newKeys()
  writeFileSync(files.key, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  writeFileSync(files.publicKey, publicKey.export({ type: 'spki', format: 'pem' }))
  return files
}

interface Issuer { readonly name: Buffer; readonly keys: Keys }

function issue(dir: string, issuer: Issuer, name: string, subject: Subject): KeyPair {
  const keys = newKeys()
  const purposes = ['1.3.6.1.5.5.7.3.2', ...(subject.hosts ? ['1.3.6.1.5.5.7.3.1'] : [])] // client, server authentication
  const extensions = [
    extension('2.5.29.19', true, der.sequence()),
    extension('2.5.29.15', true, keyUsage(0x80)), // digitalSignature
    extension('2.5.29.37', false, der.sequence(...purposes.map(der.oid))),
    extension('2.5.29.35', false, der.sequence(der.implicit(0, keyId(issuer.keys.publicKey)))),
    ...(subject.hosts ? [extension('2.5.29.17', false, der.sequence(...subject.hosts.map(generalName)))] : []),
  ]
  return write(dir, name, certificate(issuer, nameOf(subject), keys.publicKey, extensions), keys)
}

/** A signed X.509 v3 certificate (RFC 5280 4.1), DER. */
function certificate(issuer: Issuer, subject: Buffer, publicKey: KeyObject, extensions: readonly Buffer[]): Buffer {
  const ecdsaWithSha256 = der.sequence(der.oid('1.2.840.10045.4.3.2'))
  const toBeSigned = der.sequence(
    der.explicit(0, der.integer(Buffer.from([2]))), der.integer(randomBytes(16)), ecdsaWithSha256, issuer.name,
    der.sequence(der.utcTime(new Date(Date.now() - validBefore)), der.utcTime(new Date(Date.now() + validAfter))),
    subject, publicKey.export({ type: 'spki', format: 'der' }), der.explicit(3, der.sequence(...extensions)),
  )
  return der.sequence(toBeSigned, ecdsaWithSha256, der.bits(sign('sha256', toBeSigned, issuer.keys.privateKey)))
}

const extension = (id: string, critical: boolean, value: Buffer): Buffer => der.sequence(der.oid(id), ...(critical ? [der.boolean(true)] : []), der.octets(value))

/** One octet of the KeyUsage bit string; DER wants its trailing zero bits counted as unused. */
function keyUsage(octet: number): Buffer {
  let unused = 0
  while (!((octet >> unused) & 1)) unused++
  return der.bits(Buffer.from([octet]), unused)
}

/** dNSName or iPAddress of a SubjectAltName. */
const generalName = (host: string): Buffer => (isIP(host) === 4 ? der.implicit(7, Buffer.from(host.split('.').map(Number))) : der.implicit(2, Buffer.from(host)))

const nameOf = ({ organisations = [], commonName }: Subject): Buffer =>
  der.sequence(...organisations.map((o) => relativeName('2.5.4.10', o)), relativeName('2.5.4.3', commonName))
const relativeName = (id: string, value: string): Buffer => der.set(der.sequence(der.oid(id), der.utf8(value)))

function keysIn(file: string): Keys {
  const privateKey = createPrivateKey(readFileSync(file))
  return { privateKey, publicKey: createPublicKey(privateKey) }
}

const newKeys = (): Keys => generateKeyPairSync('ec', { namedCurve: 'P-256' })
const keyId = (publicKey: KeyObject): Buffer => createHash('sha1').update(publicKey.export({ type: 'spki', format: 'der' })).digest()

function write(dir: string, name: string, content: Buffer, keys: Keys): KeyPair {
  const files = { cert: join(dir, `${name}.crt`), key: join(dir, `${name}.key`) }
  const lines = content.toString('base64').replace(/.{64}/g, '$&\n').trimEnd()
  writeFileSync(files.cert, `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`)
  writeFileSync(files.key, keys.privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  return files
}
