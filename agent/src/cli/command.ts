import type { Flags, ParsedFlags } from '../config/flags.ts'
import { FlagError, parseFlags } from '../config/flags.ts'
import { nearest } from '../text/nearest.ts'

/** A command in the manner of cobra: either a group of others, or something to run. */
export interface Group { short: string; commands: Record<string, Command> }
export interface Action { short: string; usage?: string; args?: { min?: number; max?: number }; flags?: Flags; run: (parsed: ParsedFlags) => Promise<string | void> | string | void }
export type Command = Group | Action

/** What ends a command with exit code 1; `stdout` is printed first. */
export class CommandError extends Error {
  readonly stdout: string
  constructor(message: string, stdout = '') { super(message); this.stdout = stdout }
}

export const globalFlags: Flags = {
  debug: { type: 'bool', short: 'D', usage: 'Enable debug messages' },
  host: { type: 'string', short: 'H', usage: 'URI to server-side API' },
  config: { type: 'string', usage: 'config file (default is $HOME/.cilium.yaml)' },
  help: { type: 'bool', short: 'h', usage: 'help for the command' },
}

/** Finds and runs a command; returns what to print. Throws CommandError, or whatever the command throws. */
export async function runCommand(root: Group, name: string, argv: string[]): Promise<string> {
  const path = [name]
  let command: Command = root
  let rest = argv
  while ('commands' in command) {
    const at = rest.findIndex((arg) => !arg.startsWith('-'))
    const word = at < 0 ? undefined : rest[at]!
    const next: Command | undefined = word !== undefined && Object.hasOwn(command.commands, word) ? command.commands[word] : undefined
    if (next === undefined) {
      if (word !== undefined && command === root) throw new CommandError(`unknown command "${word}" for "${name}"${suggestion(word, command)}`)
      return groupHelp(command, path)
    }
    path.push(word!)
    rest = [...rest.slice(0, at), ...rest.slice(at + 1)]
    command = next
  }
  const flags = { ...globalFlags, ...command.flags }
  const parsed = tryParse(rest, flags, command, path)
  if (parsed.values.get('help') !== undefined) return actionHelp(command, path)
  const host = parsed.values.get('host')?.[0]
  if (host !== undefined) process.env['CILIUM_SOCK'] = host.replace(/^unix:\/\//, '')
  const { min = 0, max = 0 } = command.args ?? {}
  if (parsed.args.length < min) throw new CommandError(`accepts ${min === max ? min : `at least ${min}`} arg(s), received ${parsed.args.length}`, '')
  if (parsed.args.length > max) throw new CommandError(`unknown command "${parsed.args[max]}" for "${path.join(' ')}"`)
  return await command.run(parsed) ?? ''
}

function tryParse(argv: string[], flags: Flags, action: Action, path: string[]): ParsedFlags {
  try { return parseFlags(argv, flags) } catch (error) {
    if (error instanceof FlagError) throw new CommandError(error.message, `Error: ${error.message}\n${actionHelp(action, path, true)}\n`)
    throw error
  }
}

function suggestion(word: string, { commands }: Group): string {
  const best = nearest(word, Object.keys(commands))
  return best === undefined ? '' : `\n\nDid you mean this?\n\t${best}\n`
}

function groupHelp({ short, commands }: Group, path: string[]): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length), 11)
  const list = Object.entries(commands).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, command]) => `  ${name.padEnd(width)} ${command.short}`)
  const name = path.join(' ')
  return [
    short, '', 'Usage:', `  ${name} [command]`, '', 'Available Commands:', ...list, '', path.length === 1 ? 'Flags:' : 'Global Flags:', ...flagLines(globalFlags, path.length === 1), '',
    `Use "${name} [command] --help" for more information about a command.`, '',
  ].join('\n')
}

function actionHelp({ short, usage = '', flags = {} }: Action, path: string[], usageOnly = false): string {
  const own = Object.keys(flags).length === 0 ? [] : ['Flags:', ...flagLines(flags, true), '']
  return [...(usageOnly ? [] : [short, '']), 'Usage:', `  ${path.join(' ')}${usage === '' ? '' : ` ${usage}`} [flags]`, '', ...own, 'Global Flags:', ...flagLines(globalFlags, false), ''].join('\n')
}

function flagLines(flags: Flags, withHelp: boolean): string[] {
  const shown = Object.entries(flags).filter(([name]) => withHelp || name !== 'help').sort(([a], [b]) => (a < b ? -1 : 1))
  const types = { bool: '', string: ' string', list: ' strings', number: ' int' }
  const left = shown.map(([name, { short, type }]) => `  ${short === undefined ? '   ' : `-${short},`} --${name}${types[type]}`)
  const width = Math.max(...left.map((text) => text.length))
  return shown.map(([, { usage }], i) => `${left[i]!.padEnd(width)}   ${usage}`)
}
