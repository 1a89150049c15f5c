import { CommandError, runCommand } from './command.ts'
import { root } from './commands.ts'

/** `cilium`. Errors are printed as cobra and Cilium do; the exit code is 1. */
async function main(argv: string[]): Promise<void> {
  try {
    process.stdout.write(await runCommand(root, 'cilium', argv))
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    if (error instanceof CommandError && error.stdout !== '') process.stdout.write(error.stdout)
    else if (message.startsWith('unknown command')) process.stderr.write(`Error: ${message}\nRun 'cilium --help' for usage.\n`)
    process.stderr.write(`${error instanceof CommandError && (error.stdout !== '' || message.startsWith('unknown command') || message.startsWith('error in')) ? '' : 'Error: '}${message}\n`)
    process.exitCode = 1
  }
}

void main(process.argv.slice(2))
