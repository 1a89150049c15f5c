import { spawn } from 'node:child_process'
import { KernelbedError } from '../core/errors.ts'
import type { MachineHandle } from './types.ts'

/** Arguments of the system's `ssh` for a machine: its host key is made with the machine, so there is nothing to check it against. */
export function sshArgs({ ssh }: MachineHandle, ...command: readonly string[]): string[] {
  return [
    '-i', ssh.keyFile, '-p', String(ssh.port), '-o', 'IdentitiesOnly=yes', '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'LogLevel=ERROR',
    `${ssh.user}@${ssh.host}`, ...command,
  ]
}

/** A shell on the terminal (or `command`, with a terminal's stdin and stdout); resolves with its exit code. Throws KernelbedError without an ssh client. */
export function openSshShell(handle: MachineHandle, ...command: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn('ssh', sshArgs(handle, ...command), { stdio: 'inherit' })
    child.once('error', (cause) => reject(new KernelbedError(`cannot run ssh: ${cause.message}`, { blame: 'host', hint: 'apt-get install openssh-client', cause })))
    child.once('exit', (code, signal) => resolve(code ?? (signal ? 128 : 1)))
  })
}
