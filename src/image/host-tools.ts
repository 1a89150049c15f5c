import { accessSync, constants, existsSync, mkdirSync, readdirSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand } from '../core/command.ts'
import { KernelbedError } from '../core/errors.ts'
import { inStep } from '../core/progress.ts'
import type { Context } from '../core/context.ts'

/** A program (or header) this host lacks, and the Debian package that has it. */
export interface MissingTool { readonly tool: string; readonly package: string }

/** What the tools are for: every run, building Kubernetes from source (which a cached build makes unnecessary), the unit tests, machines of Vagrant's, or a disk that boots by itself. */
export type ToolSet = 'run' | 'kubernetes build' | 'tests' | 'vagrant' | 'boot disk'

const runTools: readonly MissingTool[] = [
  { tool: 'qemu-system-x86_64', package: 'qemu-system-x86' },
  { tool: 'qemu-img', package: 'qemu-utils' },
  { tool: 'mmdebstrap', package: 'mmdebstrap' },
  { tool: 'mke2fs', package: 'e2fsprogs' },
  { tool: 'depmod', package: 'kmod' },
  { tool: 'xz', package: 'xz-utils' },
  { tool: 'clang', package: 'clang' },
  { tool: '/usr/include/bpf/bpf_helpers.h', package: 'libbpf-dev' },
  { tool: 'gcc', package: 'gcc' },
  { tool: '/usr/include/stdio.h', package: 'libc6-dev' },
  { tool: 'dpkg-deb', package: 'dpkg' },
  { tool: 'gpgv', package: 'gpgv' },
  { tool: '/usr/share/keyrings/debian-archive-keyring.gpg', package: 'debian-archive-keyring' },
]

/** As a user other than root, mmdebstrap needs user namespaces and the disk's files need a pretended owner. */
const userTools: readonly MissingTool[] = [
  { tool: 'newuidmap', package: 'uidmap' },
  { tool: 'fakeroot', package: 'fakeroot' },
]

const buildTools: readonly MissingTool[] = [
  { tool: '/usr/lib/go/bin/go', package: 'golang-go' },
  { tool: 'rsync', package: 'rsync' },
  { tool: 'jq', package: 'jq' },
  { tool: 'make', package: 'make' },
  { tool: 'dpkg-source', package: 'dpkg-dev' },
]

/** Tests sign a mirror of their own, and build in a tree. */
const testTools: readonly MissingTool[] = [
  { tool: 'gpg', package: 'gpg' },
  { tool: 'gpg-agent', package: 'gpg-agent' },
  { tool: 'gpgconf', package: 'gpgconf' },
  { tool: 'make', package: 'make' },
]

/** Vagrant with libvirt, without the daemons and networks of a whole host. */
const vagrantTools: readonly MissingTool[] = [
  { tool: 'vagrant', package: 'vagrant' },
  { tool: 'libvirtd', package: 'libvirt-daemon' },
  { tool: `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so`, package: 'libvirt-daemon-driver-qemu' },
]

/** A boot loader for a PC's BIOS, and what puts it and files on a disk without rights. */
const bootDiskTools: readonly MissingTool[] = [
  { tool: 'syslinux', package: 'syslinux' },
  { tool: '/usr/lib/syslinux/mbr/mbr.bin', package: 'syslinux-common' },
  { tool: 'mformat', package: 'mtools' },
  { tool: 'sfdisk', package: 'fdisk' },
]

/** Of Debian's Vagrant; another has plugins of its own (`vagrant plugin install`). */
const vagrantPlugin: MissingTool = { tool: '/usr/share/vagrant-plugins/plugins.d/vagrant-libvirt.json', package: 'vagrant-libvirt' }

/** PATH as programs of Debian's sbin folders need it: an ordinary user's lacks them. */
export const searchPath = (): string => [...new Set([...(process.env['PATH'] ?? '').split(':').filter(Boolean), '/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin'])].join(':')

/** Whether a program is there, in PATH or Debian's sbin folders. */
export const hasProgram = (name: string): boolean => searchPath().split(':').some((folder) => isProgram(join(folder, name)))

const isThere = (tool: string): boolean => (tool.startsWith('/') ? existsSync(tool) : hasProgram(tool))

/** Whether a program is, or would be, of a Debian package, and not below /opt or /usr/local. */
function isDebians(tool: string): boolean {
  const path = searchPath().split(':').map((folder) => join(folder, tool)).find(isProgram)
  return path === undefined || /^\/usr\/(bin|share|lib)\//.test(realpathSync(path))
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

const isRoot = (): boolean => process.getuid?.() === 0

/** Tools that this host lacks. Looks only; starts nothing. */
export function checkHostTools(set: ToolSet = 'run'): MissingTool[] {
  const wanted = { run: [...runTools, ...(isRoot() ? [] : userTools)], 'kubernetes build': buildTools, tests: testTools, 'boot disk': bootDiskTools, vagrant: [...vagrantTools, ...(isDebians('vagrant') ? [vagrantPlugin] : [])] }[set]
  return wanted.filter(({ tool }) => !isThere(tool))
}

/** Debian packages of all that a set asks for, whether this host has it or not. As root. */
export const toolPackages = (set: 'run'): readonly string[] => [...new Set({ run: runTools }[set].map((tool) => tool.package))].sort()

/** The one command that installs what is missing. */
export const installCommand = (missing: readonly MissingTool[]): string => `apt-get update && apt-get install -y --no-install-recommends ${[...new Set(missing.map((tool) => tool.package))].join(' ')}`

/** Installs what is missing (as root), or throws a KernelbedError with the one command to run as root. Services of the packages are not started. */
export async function ensureHostTools(ctx: Context, set: ToolSet = 'run'): Promise<void> {
  const missing = checkHostTools(set)
  if (missing.length === 0) return
  if (!isRoot()) throw new KernelbedError(`this host lacks ${missing.map(({ tool }) => tool).join(', ')}`, { blame: 'host', hint: `run this once as root:\n      ${installCommand(missing)}` })
  await inStep(ctx.progress, `install ${[...new Set(missing.map((tool) => tool.package))].join(', ')}`, (step) => install(missing, ctx, (line) => step.update(line)))
  const still = checkHostTools(set)
  if (still.length > 0) throw new KernelbedError(`still missing after installing: ${still.map(({ tool }) => tool).join(', ')}`, { blame: 'host', hint: `look at what this prints: ${installCommand(still)}` })
}

async function install(missing: readonly MissingTool[], ctx: Context, onLine: (line: string) => void): Promise<void> {
  const packages = [...new Set(missing.map((tool) => tool.package))]
  const options = { env: { DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' }, signal: ctx.signal, onLine, timeoutMs: 30 * 60_000, hint: `run it by hand to see more: ${installCommand(missing)}` }
  // Another apt at work (unattended upgrades): wait for its lock.
  const args = ['-o', 'DPkg::Lock::Timeout=300', '-o', 'Dpkg::Use-Pty=0', '-q']
  if (listsAreStale()) await runCommand('apt-get', [...args, 'update'], options)
  await withoutServices(ctx, () => runCommand('apt-get', [...args, 'install', '-y', '--no-install-recommends', ...packages], options).then(() => undefined))
}

/** No lists at all, or none written for a day. */
function listsAreStale(folder = '/var/lib/apt/lists'): boolean {
  const lists = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('InRelease') || name.includes('_Packages')) : []
  const newest = Math.max(0, ...lists.map((name) => statSync(join(folder, name)).mtimeMs), statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? 0)
  return lists.length === 0 || Date.now() - newest > 24 * 3600_000
}

/** policy-rc.d (invoke-rc.d(8)): exit code 101 forbids starting services while packages are installed. Left alone where the host has one. */
async function withoutServices(ctx: Context, body: () => Promise<void>): Promise<void> {
  const policy = '/usr/sbin/policy-rc.d'
  if (existsSync(policy)) return body()
  const claim = ctx.registry.claim(policy, () => rmSync(policy, { force: true }))
  claim.hold({ kind: 'path', path: policy })
  mkdirSync('/usr/sbin', { recursive: true })
  writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    await body()
  } finally {
    await claim.release()
  }
}
