import { KernelbedError } from '../core/errors.ts'
import { CommandError, runCommand, type CommandResult } from '../core/command.ts'
import { shellQuote } from '../core/shell-quote.ts'
import { GuestCommandError } from './guest-error.ts'
import type { ExecOptions, ExecResult } from './types.ts'

/** A host of the user's SSH configuration; JSON. The system's own client reaches it, with all that the file says: jumps, agents, known hosts. */
export interface SshHost {
  /** Path of the configuration. */
  readonly config: string
  /** What `ssh` is called with: an alias or an address. */
  readonly host: string
  /** Path of the socket of the one connection that all commands share. */
  readonly control: string
  /** The user is not root: commands go through `sudo -n`. */
  readonly sudo: boolean
}

/** ssh's own failures; a command may end with it too. */
const SSH_FAILED = 255

const hint = 'try it by hand: ssh -F FILE HOST; no question is answered for you (BatchMode): load keys with a passphrase into an agent, and accept host keys once'

async function run({ config, host, control }: SshHost, remote: string, options: ExecOptions): Promise<CommandResult> {
  const args = ['-F', config, '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=15', '-o', 'ControlMaster=auto', '-o', `ControlPath=${control}`, '-o', 'ControlPersist=30', '-o', 'LogLevel=ERROR', host, remote]
  return runCommand('ssh', args, {
    allowFailure: true, timeoutMs: options.timeoutMs ?? 120_000, hint, ...(options.stdin === undefined ? {} : { input: options.stdin }), ...(options.signal ? { signal: options.signal } : {}),
  })
}

/** Runs a shell command as root on a host. Throws GuestCommandError, or KernelbedError when it does not answer. */
export async function execOverSsh(where: SshHost, command: string, options: ExecOptions = {}): Promise<ExecResult> {
  const start = performance.now()
  const shell = `sh -c ${shellQuote(command)}`
  const done = await run(where, where.sudo ? `sudo -n -- ${shell}` : shell, options).catch((cause: unknown) => {
    const reason = cause instanceof CommandError ? cause.message.replace(/: ssh .*/s, '') : String(cause)
    throw new GuestCommandError(where.host, reason, { ...(cause instanceof CommandError ? cause.result : { exitCode: -1, stdout: '', stderr: '' }), command, ms: performance.now() - start }, options.blame ?? 'cluster', cause)
  })
  const result = { command, exitCode: done.exitCode, stdout: done.stdout, stderr: done.stderr, ms: performance.now() - start }
  if (done.exitCode === 0 || options.allowFailure) return result
  throw new GuestCommandError(where.host, `exit code ${done.exitCode}`, result, options.blame ?? 'cluster')
}

/** Logs in once: whether it works, and whether root's commands need sudo. Throws KernelbedError with ssh's own words. */
export async function sshAccess(where: Omit<SshHost, 'sudo'>, signal: AbortSignal): Promise<SshHost> {
  const host = { ...where, sudo: false }
  const { exitCode, stdout, stderr } = await run(host, 'id -u && { [ "$(id -u)" = 0 ] || sudo -n true; }', { signal, timeoutMs: 60_000 })
  if (exitCode === SSH_FAILED) throw new KernelbedError(`no SSH to ${where.host} with --ssh-config ${where.config}`, { blame: 'host', details: stderr.trim(), hint })
  if (exitCode !== 0) throw new KernelbedError(`the user of ${where.host} is not root, and has no sudo without a password`, { blame: 'host', details: stderr.trim(), hint: 'name a user that is (User in the SSH configuration), or leave --ssh-config out' })
  return { ...host, sudo: stdout.trim() !== '0' }
}
