import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { cached, sha256 } from '../core/cache.ts'
import { CommandError, runCommand } from '../core/command.ts'
import { inStep } from '../core/progress.ts'
import type { Context } from '../core/context.ts'
import { explainApt } from '../kernels/apt-errors.ts'
import { debianMirrors, sourceLines } from '../kernels/mirrors.ts'
import { searchPath } from './host-tools.ts'

const suite = 'bookworm'

/** What a node needs beside kubelet. usr-is-merged keeps usrmerge and with it perl (45 MB) out. */
export const guestPackages = [
  'bash', 'busybox-static', 'ca-certificates', 'conntrack', 'containerd', 'containernetworking-plugins', 'dropbear-bin', 'e2fsprogs', 'ethtool', 'iproute2', 'iptables',
  'iputils-ping', 'kmod', 'mount', 'procps', 'runc', 'socat', 'tcpdump', 'usr-is-merged', 'util-linux',
] as const

const excluded = ['man', 'locale', 'doc', 'info', 'i18n', 'zoneinfo', 'bash-completion', 'perl5/Unicode'].map((folder) => `/usr/share/${folder}/*`)

/** In the new root ($1): nftables' front ends fail on 4.9 (“cannot install feeder rule”); programs that no node runs cost boot and copy time. */
const customize = [
  'for t in iptables ip6tables; do ln -sf /usr/sbin/$t-legacy "$1/etc/alternatives/$t"; for k in save restore; do ln -sf /usr/sbin/$t-legacy-$k "$1/etc/alternatives/$t-$k"; done; done',
  'cd "$1/usr/lib/cni" && rm -f dhcp firewall macvlan vlan ipvlan bandwidth host-device vrf sbr tuning static',
  'rm -f "$1/usr/bin/containerd-shim" "$1/usr/bin/containerd-shim-runc-v1" "$1/usr/bin/containerd-stress"',
  'mkdir -p "$1/etc/dropbear" && chroot "$1" dropbearkey -t ed25519 -f /etc/dropbear/host_ed25519',
  'rm -rf "$1"/var/lib/apt/* "$1"/var/cache/* "$1"/var/log/* "$1"/usr/lib/x86_64-linux-gnu/gconv "$1"/usr/lib/systemd "$1"/etc/systemd',
]

/** Root file system of a node as a tar, without kubelet and our own files: Debian bookworm by mmdebstrap, from the host's mirrors. Path of the tar. */
export async function ensureRootfs(ctx: Context): Promise<string> {
  const key = `rootfs-${sha256('1', suite, ...guestPackages, ...excluded, ...customize).slice(0, 16)}`
  const entry = await cached(ctx, 'images', key, (dir) => inStep(ctx.progress, 'guest root file system (mmdebstrap, once)', (step) => bootstrap(join(dir, 'rootfs.tar'), ctx, (line) => step.update(line))))
  return join(entry, 'rootfs.tar')
}

/** What a root file system is made of. */
interface RootfsSpec {
  /** mmdebstrap(1). */
  readonly variant: 'essential' | 'apt'
  readonly packages: readonly string[]
  /** Commands for customize hooks; `$1` is the new root. */
  readonly customize: readonly string[]
}

const bootstrap = (tar: string, ctx: Context, onLine: (line: string) => void): Promise<void> => bootstrapDebian({ variant: 'essential', packages: guestPackages, customize }, tar, ctx, onLine)

/** Debian bookworm from the host's mirrors, without manuals and translations, as a tar. Throws KernelbedError. */
export async function bootstrapDebian(spec: RootfsSpec, tar: string, ctx: Context, onLine: (line: string) => void): Promise<void> {
  const args = [
    `--variant=${spec.variant}`, '--architectures=amd64', '--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr', `--include=${spec.packages.join(',')}`,
    '--aptopt=Acquire::Languages "none"', '--aptopt=Acquire::Retries "3"', ...(await hostAptOptions(ctx)), ...excluded.map((path) => `--dpkgopt=path-exclude=${path}`),
    ...spec.customize.map((command) => `--customize-hook=${command}`), suite, tar, ...sourceLines(suite, await debianMirrors(ctx.signal)),
  ]
  try {
    await runCommand('mmdebstrap', args, { env: { PATH: searchPath(), LC_ALL: 'C', TMPDIR: process.env['TMPDIR'] ?? '/var/tmp' }, signal: ctx.signal, onLine, timeoutMs: 30 * 60_000 })
  } catch (error) {
    rmSync(tar, { force: true })
    throw error instanceof CommandError ? explainApt(error, `Debian ${suite}`) : error
  }
}

/** Proxies and the like of the host's apt, which mmdebstrap's own doesn't read. */
async function hostAptOptions(ctx: Context): Promise<string[]> {
  const { stdout } = await runCommand('apt-config', ['dump', '--no-empty', '--format', '%F "%v";%n', 'Acquire'], { signal: ctx.signal })
  return stdout.split('\n').filter((line) => /^Acquire::(https?::Proxy|Check-Valid-Until|Check-Date)/i.test(line)).map((line) => `--aptopt=${line.replace(/;$/, '')}`)
}
