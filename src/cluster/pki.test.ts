import { createPrivateKey, createPublicKey, sign, verify, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer, connect } from 'node:tls'
import { afterAll, describe, expect, it } from 'vitest'
import { createAuthority, createSigningKey, type KeyPair } from './pki.ts'

const dir = mkdtempSync(join(tmpdir(), 'kb-pki-'))
afterAll(() => rmSync(dir, { recursive: true }))
const authority = createAuthority(join(dir, 'pki'))
const read = (pair: KeyPair): X509Certificate => new X509Certificate(readFileSync(pair.cert))
const ca = read(authority.ca)

describe('the cluster\'s authority', () => {
  it('signs itself and is a CA', () => {
    expect(ca.verify(ca.publicKey)).toBe(true)
    expect(ca.ca).toBe(true)
    expect(ca.subject).toBe('CN=kernelbed-ca')
  })

  it('issues client certificates with groups as organisations', () => {
    const certificate = read(authority.issue('node1-client', { commonName: 'system:node:node1', organisations: ['system:nodes'] }))
    expect(certificate.verify(ca.publicKey)).toBe(true)
    expect(certificate.checkIssued(ca)).toBe(true)
    expect(certificate.subject).toBe('O=system:nodes\nCN=system:node:node1')
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2'])
    expect(certificate.ca).toBe(false)
  })

  it('issues server certificates for names and addresses', () => {
    const certificate = read(authority.issue('apiserver', { commonName: 'kube-apiserver', hosts: ['127.0.0.1', '172.31.255.1', 'kubernetes.default.svc'] }))
    expect(certificate.subjectAltName).toBe('IP Address:127.0.0.1, IP Address:172.31.255.1, DNS:kubernetes.default.svc')
    expect(certificate.checkIP('172.31.255.1')).toBe('172.31.255.1')
    expect(certificate.checkHost('kubernetes.default.svc')).toBeDefined()
    expect(certificate.keyUsage).toContain('1.3.6.1.5.5.7.3.1')
  })

  it('makes certificates valid a day back, for guests whose clock lags, and a month ahead, for snapshots', () => {
    const { validFromDate, validToDate } = read(authority.issue('x', { commonName: 'x' }))
    expect((Date.now() - validFromDate.getTime()) / 3600_000).toBeCloseTo(24, 1)
    expect((validToDate.getTime() - Date.now()) / 3600_000).toBeCloseTo(720, 1)
  })

  it('keeps private keys from others', () => {
    const { key } = authority.issue('y', { commonName: 'y' })
    for (const file of [key, authority.ca.key, createSigningKey(authority.dir, 'sa').key]) expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(statSync(authority.dir).mode & 0o777).toBe(0o700)
  })

  it('is accepted by TLS in both directions', async () => {
    const server = authority.issue('server', { commonName: 'server', hosts: ['127.0.0.1'] })
    const client = authority.issue('client', { commonName: 'admin', organisations: ['system:masters'] })
    const pem = (pair: KeyPair) => ({ ca: readFileSync(authority.ca.cert), cert: readFileSync(pair.cert), key: readFileSync(pair.key) })
    const listener = createServer({ ...pem(server), requestCert: true }, (socket) => socket.end(String(socket.getPeerCertificate().subject.CN)))
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
    const { port } = listener.address() as { port: number }
    const answer = await new Promise<string>((resolve, reject) => connect({ ...pem(client), host: '127.0.0.1', port }).on('data', (data: Buffer) => resolve(data.toString())).on('error', reject))
    listener.close()
    expect(answer).toBe('admin')
  })

  it('makes a key pair to sign tokens with', () => {
    const files = createSigningKey(authority.dir, 'tokens')
    const signature = sign('sha256', Buffer.from('x'), createPrivateKey(readFileSync(files.key)))
    expect(verify('sha256', Buffer.from('x'), createPublicKey(readFileSync(files.publicKey)), signature)).toBe(true)
  })
})
