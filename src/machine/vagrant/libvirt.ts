import { accessSync, constants, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from '../../core/context.ts'
import { KernelbedError } from '../../core/errors.ts'
import { startService } from '../../core/service.ts'
import { waitFor } from '../../core/wait.ts'
import { searchPath } from '../../image/host-tools.ts'
import type { VagrantPlan } from './plan.ts'

/** Who root is in the user namespace of its libvirtd. */
const nobody = 65534
const isRoot = (): boolean => process.getuid?.() === 0

/** Program and arguments of a libvirtd that serves one user's session. Root's would be the host's own; in a user namespace, where root is somebody else, it is a session. */
export const sessionDaemon = (): readonly [string, ...string[]] => (isRoot() ? ['unshare', '-U', `--map-user=${nobody}`, `--map-group=${nobody}`, 'libvirtd'] : ['libvirtd'])

/** The folders that libvirt's session goes by, made below `dir`, and the URI of the session there. */
export function sessionIn(dir: string): { readonly env: Readonly<Record<string, string>>; readonly socket: string; readonly uri: string; readonly owner?: number } {
  const env = { XDG_RUNTIME_DIR: join(dir, 'run'), XDG_CONFIG_HOME: join(dir, 'config'), XDG_CACHE_HOME: join(dir, 'cache'), XDG_DATA_HOME: join(dir, 'data') }
  for (const folder of Object.values(env)) mkdirSync(join(folder, 'libvirt'), { recursive: true, mode: 0o700 })
  // Else consoles go through virtlogd, one process more.
  writeFileSync(join(env.XDG_CONFIG_HOME, 'libvirt', 'qemu.conf'), 'stdio_handler = "file"\n')
  const socket = join(env.XDG_RUNTIME_DIR, 'libvirt', 'libvirt-sock')
  return { env, socket, uri: `qemu+unix:///session?socket=${socket}`, ...(isRoot() ? { owner: nobody } : {}) }
}

/**
 * Starts a libvirtd that only this run knows: a session with folders of its own, without rights, bridges or networks on the host; what it defines is gone with the folder, whatever
 * becomes of the run. Throws KernelbedError when it does not listen within 20 s.
 */
export async function startLibvirt(ctx: Context): Promise<Pick<VagrantPlan, 'uri' | 'owner'>> {
  const dir = join(ctx.sockets, 'v')
  const claim = ctx.registry.claim('folder of libvirt', () => rmSync(dir, { recursive: true, force: true }))
  claim.hold({ kind: 'path', path: dir })
  const { env, socket, ...session } = sessionIn(dir)
  const [file, ...args] = sessionDaemon()
  const daemon = await startService(ctx.registry, { name: 'libvirtd', file, args, logFile: join(ctx.dir, 'logs', 'libvirtd.log'), env: { ...env, PATH: searchPath() }, blame: 'hypervisor' })
  await waitFor({ name: 'libvirtd to listen', timeoutMs: 20_000, intervalMs: 50, signal: ctx.signal, blame: 'hypervisor', evidence: () => daemon.logTail(10) }, () => {
    daemon.assertAlive()
    return existsSync(socket) ? { done: undefined } : { seen: 'no socket' }
  })
  return session
}

/** Sockets of the host's libvirt: of its one daemon, or of the one for QEMU since libvirt 5.6. */
const systemSockets = ['/run/libvirt/libvirt-sock', '/run/libvirt/virtqemud-sock']

/** Where a user's libvirt is looked for: the environment that it goes by, and files. Made up by tests. */
export interface LibvirtPlace { readonly env: NodeJS.ProcessEnv; readonly exists: (path: string) => boolean; readonly writable: (path: string) => boolean; readonly user: string }

const here = (): LibvirtPlace => ({ env: process.env, exists: existsSync, writable, user: process.env['USER'] ?? 'you' })

function writable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
    return true
  } catch {
    return false
  }
}

/**
 * Throws a KernelbedError with the command to run where Vagrant could not connect to a user's libvirt at `uri`: the host's is not running, or the user may not use it, or there is no folder for
 * the user's own session, which libvirt starts itself. Of other hosts and URIs nothing is known here.
 */
export function assertLibvirt(uri: string, { env, exists, writable: mayUse, user }: LibvirtPlace = here()): void {
  if (uri === 'qemu:///system') {
    const socket = systemSockets.find(exists)
    if (socket === undefined) throw new KernelbedError(`libvirt is not running: there is no ${systemSockets.join(' or ')}`, { blame: 'host', hint: 'as root: systemctl start libvirtd (Debian: apt-get install libvirt-daemon-system); or without LIBVIRT_DEFAULT_URI, which needs neither root nor a daemon of the host' })
    if (!mayUse(socket)) throw new KernelbedError(`${user} may not use the host's libvirt (${socket})`, { blame: 'host', hint: `as root: usermod -aG libvirt ${user}, and log in again; or without LIBVIRT_DEFAULT_URI, which needs no rights` })
  }
  const folder = env['XDG_RUNTIME_DIR']
  if (uri === 'qemu:///session' && folder !== undefined && !mayUse(folder)) throw new KernelbedError(`libvirt's session of ${user} has no folder: XDG_RUNTIME_DIR is ${folder}, which ${exists(folder) ? `${user} may not write` : 'is not there'}`, { blame: 'host', hint: 'after su or sudo it is another user\'s: log in as the user itself (ssh, machinectl shell), or unset XDG_RUNTIME_DIR' })
}
