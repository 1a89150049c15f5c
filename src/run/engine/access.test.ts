import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { assertRights, openAccess } from './access.ts'
import { kubeconfigOf } from './testing/fake-kube.ts'

const dir = mkdtempSync(join(tmpdir(), 'kb-access-'))
afterAll(() => rmSync(dir, { recursive: true }))
const file = (text: string): string => {
  const path = join(dir, 'kubeconfig')
  writeFileSync(path, text)
  return path
}

test.each<[string, string, RegExp]>([
  ['no YAML', '{ a: [', /cannot be read/],
  ['something else', 'hello: world', /has no current context|cannot be read/],
  ['a context that is not in it', JSON.stringify(kubeconfigOf('https://127.0.0.1:1', 'gone')), /has no current context "gone"/],
  ['a server that is no address', JSON.stringify(kubeconfigOf('nowhere')), /no address: "nowhere"/],
])('%s is a usage error in one line', (_what, text, message) => {
  try {
    openAccess({ kubeconfig: file(text) })
    expect.unreachable()
  } catch (error) {
    expect(error).toMatchObject({ exitCode: 2, message: expect.stringMatching(message) as string })
  }
})

test('a cluster that is out of reach: exit code 3, the address, and why', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  const access = openAccess({ kubeconfig: file(JSON.stringify(kubeconfigOf(`http://127.0.0.1:${port}`))) })
  await expect(assertRights(access)).rejects.toMatchObject({ exitCode: 3, message: `cannot reach the API server http://127.0.0.1:${port}: connect ECONNREFUSED 127.0.0.1:${port}` })
})

test('the namespace is that of the context unless another is named', () => {
  const kubeconfig = file(JSON.stringify(kubeconfigOf('https://127.0.0.1:1')))
  expect(openAccess({ kubeconfig }).namespace).toBe('ns')
  expect(openAccess({ kubeconfig, namespace: 'other' }).namespace).toBe('other')
})
