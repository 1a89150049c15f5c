import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { explain } from '../../core/errors.ts'
import { assertPlugin, vagrant } from './command.ts'
import { assertLibvirt, type LibvirtPlace } from './libvirt.ts'

const dir = mkdtempSync(join(tmpdir(), 'kb-vagrant-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** An environment whose vagrant is a script of these lines; without, there is none. */
const withVagrant = (...lines: string[]): Record<string, string> => {
  const bin = mkdtempSync(join(dir, 'bin-'))
  if (lines.length) {
    writeFileSync(join(bin, 'vagrant'), `#!/bin/sh\n${lines.join('\n')}\n`)
    chmodSync(join(bin, 'vagrant'), 0o755)
  }
  return { PATH: bin }
}
const signal = new AbortController().signal
const told = async (attempt: () => unknown): Promise<string> => explain(await Promise.resolve().then(attempt).catch((error: unknown) => error))

describe('a host without what Vagrant needs', () => {
  it('lacks vagrant: the packages that have it', async () => {
    expect(await told(() => vagrant(['up'], withVagrant()))).toMatch(/^error \(host\): vagrant is not installed\n[^]*→ as root: apt-get install -y --no-install-recommends vagrant vagrant-libvirt libvirt-daemon libvirt-daemon-driver-qemu$/)
  })

  it('lacks the plugin: the command that installs it', async () => {
    const env = withVagrant("echo 'vagrant-vbguest (0.31.0, global)'")
    expect(await told(() => assertPlugin(env, signal, false))).toBe("error (host): vagrant has no plugin for libvirt\n  | vagrant-vbguest (0.31.0, global)\n  → vagrant plugin install vagrant-libvirt, or on Debian, as root: apt-get install -y --no-install-recommends vagrant-libvirt")
    await expect(assertPlugin(withVagrant("echo 'vagrant-libvirt (0.12.2, global)'"), signal, false)).resolves.toBeUndefined()
    await expect(assertPlugin(withVagrant('exit 1'), signal, true)).resolves.toBeUndefined()
  })

  it('has a vagrant that fails: its own words, once', async () => {
    expect(await told(() => vagrant(['up'], withVagrant("echo 'Call to virConnectOpen failed' >&2; exit 1")))).toBe('error (hypervisor): exit code 1: vagrant up\n  | Call to virConnectOpen failed')
  })
})

describe('a libvirt that cannot be used', () => {
  const place = (there: readonly string[], usable: readonly string[], env: NodeJS.ProcessEnv = {}): LibvirtPlace => ({ env, exists: (path) => there.includes(path), writable: (path) => usable.includes(path), user: 'kim' })
  const socket = '/run/libvirt/libvirt-sock'
  const run = '/run/user/1000'
  it.each<[string, string, LibvirtPlace, string, string]>([
    ['is not running', 'qemu:///system', place([], []), 'libvirt is not running: there is no /run/libvirt/libvirt-sock or /run/libvirt/virtqemud-sock', 'systemctl start libvirtd'],
    ['is not for this user', 'qemu:///system', place([socket], []), `kim may not use the host's libvirt (${socket})`, 'usermod -aG libvirt kim'],
    ['has no folder for the session', 'qemu:///session', place([], [], { XDG_RUNTIME_DIR: run }), `libvirt's session of kim has no folder: XDG_RUNTIME_DIR is ${run}, which is not there`, 'unset XDG_RUNTIME_DIR'],
    ['has another user\'s folder for the session', 'qemu:///session', place([run], [], { XDG_RUNTIME_DIR: run }), `libvirt's session of kim has no folder: XDG_RUNTIME_DIR is ${run}, which kim may not write`, 'log in as the user itself'],
  ])('%s: one message, with what to do', (_what, uri, where, message, hint) => {
    expect(() => assertLibvirt(uri, where)).toThrow(expect.objectContaining({ blame: 'host', exitCode: 3, message, hint: expect.stringContaining(hint) as string }) as Error)
  })

  it.each<[string, LibvirtPlace]>([
    ['qemu:///session', place([], [])], ['qemu:///session', place([run], [run], { XDG_RUNTIME_DIR: run })], ['qemu:///system', place([socket], [socket])], ['qemu:///system', place(['/run/libvirt/virtqemud-sock'], ['/run/libvirt/virtqemud-sock'])],
    ['qemu+ssh://host/system', place([], [])],
  ])('is not one that can: %s', (uri, where) => expect(() => assertLibvirt(uri, where)).not.toThrow())
})
