import { CommandError, runCommand } from './command.ts'
import { root } from './commands.ts'
import { health } from './health.ts'

/** What a command line printed, and its exit code. */
export interface CommandAnswer { stdout: string; stderr: string; exitCode: number }

/** The first word of a command line that is not of `cilium` but of this program (client/cilium.c puts it there). */
const healthProgram = 'cilium-health'

/** Runs a command line of `cilium`, or of `cilium-health`. Errors are worded as cobra and Cilium do; the exit code is then 1. Never throws. */
export async function answer(argv: string[]): Promise<CommandAnswer> {
  try {
    const stdout = argv[0] === healthProgram ? await runCommand(health, healthProgram, argv.slice(1)) : await runCommand(root, 'cilium', argv)
    return { stdout, stderr: '', exitCode: 0 }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const stdout = error instanceof CommandError ? error.stdout : ''
    const unknown = message.startsWith('unknown command')
    const usage = stdout === '' && unknown ? `Error: ${message}\nRun 'cilium --help' for usage.\n` : ''
    const bare = error instanceof CommandError && (stdout !== '' || unknown || message.startsWith('error in'))
    return { stdout, stderr: `${usage}${bare ? '' : 'Error: '}${message}\n`, exitCode: 1 }
  }
}

/**
 * Whether the agent may run a command line for its client (client/cilium.c): not what streams, takes long, reads files of where it was called, or means another agent.
 */
export function runsInAgent(argv: readonly string[]): boolean {
  const [first, second] = argv.filter((arg) => !arg.startsWith('-'))
  if (argv.some((arg) => /^(-H|--host|--config)/.test(arg))) return false
  return first === undefined || !(first === 'monitor' || first === 'bugtool' || first === 'cleanup' || (first === 'policy' && second !== 'get'))
}
