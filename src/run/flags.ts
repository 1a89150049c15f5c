import { CommanderError, type Command } from 'commander'
import { usageError } from '../core/errors.ts'

/** Parses a command line. Commander's errors become usage errors with the nearest flag and where to read more; undefined when help was asked for. */
export function parseFlags(program: Command, argv: readonly string[]): Command | undefined {
  let message = ''
  program.exitOverride().configureOutput({ writeErr: (text) => (message += text) })
  try {
    return program.parse([...argv], { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.code === 'commander.helpDisplayed') return undefined
    throw usageError((message || error.message).replace(/^error: /, '').replace(/\n\(Did you mean (.*)\?\)/, ' (did you mean "$1"?)').trim(), `${program.name()} --help lists the flags`)
  }
}
