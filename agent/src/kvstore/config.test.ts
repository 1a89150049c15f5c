import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { parseKvstoreOptions, readEtcdConfig } from './config.ts'
import { decodeLabels, encodeLabels, userOf } from './layout.ts'

const dir = mkdtempSync(join(tmpdir(), 'lash-kvstore-'))
afterAll(() => rmSync(dir, { recursive: true }))
const file = (name: string, text: string): string => {
  writeFileSync(join(dir, name), text)
  return join(dir, name)
}

describe('options of the kvstore', () => {
  it('are those of a flag, or of a ConfigMap', () => {
    expect(parseKvstoreOptions('etcd.config=/etc/etcd.config')).toEqual({ 'etcd.config': '/etc/etcd.config' })
    expect(parseKvstoreOptions('{"etcd.config": "/etc/etcd.config"}')).toEqual({ 'etcd.config': '/etc/etcd.config' })
    expect(parseKvstoreOptions('')).toEqual({})
  })

  it.each([
    ['etcd.cofnig=/x', 'unknown option "etcd.cofnig", did you mean "etcd.config"?'],
    ['/etc/etcd.config', '"/etc/etcd.config" must be name=value, such as etcd.config=/var/lib/etcd-config/etcd.config'],
    ['{"etcd.config": 1}', 'must be an object of strings'],
    ['{', 'not JSON: '],
  ])('%s are refused', (text, message) => expect(() => parseKvstoreOptions(text)).toThrow(message))
})

describe('the configuration of etcd\'s client', () => {
  const [ca, cert, key] = ['ca', 'cert', 'key'].map((name) => file(name, `the ${name}`))
  it('names endpoints and certificates', () => {
    const path = file('good', `---\nendpoints:\n- https://172.31.255.1:2379\nca-file: '${ca}'\nkey-file: ${key}\ncert-file: ${cert}\ndial-timeout: 5\n`)
    expect(readEtcdConfig({ 'etcd.config': path })).toEqual({ endpoints: ['https://172.31.255.1:2379'], ca: Buffer.from('the ca'), identity: { cert: Buffer.from('the cert'), key: Buffer.from('the key') } })
  })

  it('may be an address alone', () => expect(readEtcdConfig({ 'etcd.address': 'http://10.0.0.1:2379' })).toEqual({ endpoints: ['http://10.0.0.1:2379'] }))

  it.each<[string, string, string]>([
    ['that names nobody', 'endpoints: []\n', 'endpoints names no endpoint'],
    ['with something else for an endpoint', 'endpoints: [10.0.0.1]\n', 'endpoints.0 must be a URL such as https://10.0.0.1:2379'],
    ['that mixes', `endpoints: [https://a:1, http://b:1]\nca-file: ${ca}\n`, 'some endpoints are https and some http'],
    ['that trusts nobody', 'endpoints: [https://a:1]\n', 'a ca-file must say by whom'],
    ['without a key', `endpoints: [https://a:1]\nca-file: ${ca}\ncert-file: ${cert}\n`, 'cert-file and key-file belong together'],
    ['whose file is not there', 'endpoints: [https://a:1]\nca-file: /nonexistent/ca\n', 'cannot read ca-file /nonexistent/ca: ENOENT'],
    ['that is no YAML', 'endpoints: [', 'is not YAML'],
  ])('%s is refused', (_what, text, message) => expect(() => readEtcdConfig({ 'etcd.config': file('bad', text) })).toThrow(message))

  it('is wanted', () => expect(() => readEtcdConfig({})).toThrow('kvstore=etcd: set kvstore-opt to etcd.config=FILE'))
  it('says what mounts it when it is not there', () => expect(() => readEtcdConfig({ 'etcd.config': '/nonexistent/etcd.config' })).toThrow(/cannot read etcd\.config \/nonexistent\/etcd\.config: ENOENT.*Secret cilium-etcd-secrets, which the DaemonSet mounts/))
})

describe('labels in keys', () => {
  it('are by their key, and come back', () => {
    const labels = ['k8s:a-b=1', 'k8s:a=2>?', 'k8s:io.kubernetes.pod.namespace=x']
    const text = encodeLabels(labels)
    expect(Buffer.from(text, 'base64url').toString()).toBe('k8s:a=2>?;k8s:a-b=1;k8s:io.kubernetes.pod.namespace=x;')
    expect(text).toMatch(/^[\w=-]+$/)
    expect(decodeLabels(text)).toEqual([...labels].sort())
  })
  it('that are none are none', () => expect(['', 'x', Buffer.from('no labels').toString('base64')].map(decodeLabels)).toEqual([undefined, undefined, undefined]))
  it('are told from the node that uses them', () => expect([userOf('abc=/10.0.0.1'), userOf('abc')]).toEqual([{ labels: 'abc=', node: '10.0.0.1' }, undefined]))
})
