import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { findSshHost, readSshConfig } from './ssh-config.ts'

const dir = mkdtempSync(join(tmpdir(), 'kb-ssh-config-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))
const file = (name: string, text: string): string => {
  const path = join(dir, name)
  writeFileSync(path, text)
  return path
}
const node = (name: string, ...addresses: string[]) => ({ name, addresses })
const found = (text: string, of: ReturnType<typeof node>) => findSshHost(readSshConfig(file('config', text)), of)

const config = `# as Terraform might write it
Host bastion
  HostName 198.51.100.1
Host node1 first
  HostName 127.0.0.1
  Port 2222
Host worker
  HostName 10.0.0.7
Host 10.1.* *.compute.internal !10.1.0.9
  User admin
  ProxyJump bastion
`

test.each([
  ['by its name', node('node1', '192.168.77.11'), 'node1'],
  ['by the first part of its name', node('node1.example.org', '192.168.77.11'), 'node1'],
  ['by the address that an alias comes to', node('ip-10-0-0-7', '10.0.0.7'), 'worker'],
  ['by a pattern for its name', node('ip-1.compute.internal', '10.2.0.1'), 'ip-1.compute.internal'],
  ['by a pattern for its address', node('other', '10.1.0.3'), '10.1.0.3'],
  ['not where a pattern is taken back', node('other', '10.1.0.9'), undefined],
  ['not at all', node('other', '10.9.0.1'), undefined],
])('a node is found %s', async (_how, of, host) => expect(await found(config, of)).toBe(host))

test('a file that is not there, or names no host, is a usage error', () => {
  expect(() => readSshConfig(join(dir, 'nowhere'))).toThrow(/--ssh-config .*nowhere: ENOENT/)
  expect(() => readSshConfig(file('none', 'ServerAliveInterval 10\n'))).toThrow(/none has no Host/)
})
