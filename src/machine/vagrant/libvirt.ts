import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from '../../core/context.ts'
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
