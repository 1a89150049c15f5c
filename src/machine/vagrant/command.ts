import { existsSync, mkdirSync, symlinkSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { CommandError, runCommand, type CommandOptions, type CommandResult } from '../../core/command.ts'
import { KernelbedError } from '../../core/errors.ts'
import { hasProgram, searchPath } from '../../image/host-tools.ts'

/** The project's folder, which has the Vagrantfile. */
const vagrantfileDir = join(import.meta.dirname, '..', '..', '..')

/** What the user's own folder of Vagrant has that a run needs: the plugins. Boxes and keys are a run's own. */
const shared = ['gems', 'plugins.json', 'plugins.d']

/** The environment in which `vagrant` knows the machines of a plan and nothing else; what it keeps of them, and boxes, are in `dir`, apart from the user's. Asks nobody for updates. */
export function vagrantEnv(dir: string, plan: string): Record<string, string> {
  const home = join(dir, 'home')
  mkdirSync(home, { recursive: true })
  const users = process.env['VAGRANT_HOME'] ?? join(homedir(), '.vagrant.d')
  for (const name of shared) if (existsSync(join(users, name)) && !existsSync(join(home, name))) symlinkSync(join(users, name), join(home, name))
  return {
    PATH: searchPath(), VAGRANT_CWD: vagrantfileDir, VAGRANT_HOME: home, VAGRANT_DOTFILE_PATH: join(dir, 'dot'), KERNELBED_MACHINES: plan,
    VAGRANT_DEFAULT_PROVIDER: 'libvirt', VAGRANT_CHECKPOINT_DISABLE: '1', VAGRANT_BOX_UPDATE_CHECK_DISABLE: '1', VAGRANT_NO_COLOR: '1',
  }
}

/** Runs `vagrant`. Throws KernelbedError: what Vagrant said. */
export async function vagrant(args: readonly string[], env: Readonly<Record<string, string>>, options: CommandOptions = {}): Promise<CommandResult> {
  try {
    return await runCommand('vagrant', args, { timeoutMs: 120_000, blame: 'hypervisor', ...options, env })
  } catch (error) {
    if (!(error instanceof CommandError) || !error.message.startsWith('not installed')) throw error
    throw new KernelbedError('vagrant is not installed', { blame: 'host', hint: 'as root: apt-get install -y --no-install-recommends vagrant vagrant-libvirt libvirt-daemon libvirt-daemon-driver-qemu', cause: error })
  }
}

/** Throws a KernelbedError with the command to run when a Vagrant that is not Debian's, whose packages are looked for elsewhere, has no plugin for libvirt. */
export async function assertPlugin(env: Readonly<Record<string, string>>, signal: AbortSignal, debians = existsSync('/usr/share/vagrant-plugins/plugins.d/vagrant-libvirt.json')): Promise<void> {
  if (debians) return
  const { stdout } = await vagrant(['plugin', 'list'], env, { signal })
  if (!/^vagrant-libvirt\b/m.test(stdout)) throw new KernelbedError('vagrant has no plugin for libvirt', { blame: 'host', details: stdout, hint: 'vagrant plugin install vagrant-libvirt, or on Debian, as root: apt-get install -y --no-install-recommends vagrant-libvirt' })
}

/** Throws a KernelbedError where VirtualBox is not installed: Vagrant would say so only after the box is made. */
export function assertVirtualBox(has: (program: string) => boolean = hasProgram): void {
  if (has('VBoxManage')) return
  throw new KernelbedError('VirtualBox is not installed: there is no program VBoxManage', { blame: 'host', hint: "install VirtualBox (Debian has no package of it) and put VBoxManage into PATH, or use libvirt: `vagrant up` without VAGRANT_DEFAULT_PROVIDER and --provider" })
}
