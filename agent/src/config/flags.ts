import { didYouMean } from '../text/nearest.ts'

/** A flag as pflag knows it. A `list` may be repeated and split by commas. */
export interface Flag { type: 'bool' | 'string' | 'list' | 'number'; short?: string; usage: string; default?: string }
export type Flags = Record<string, Flag>
export interface ParsedFlags { values: Map<string, string[]>; args: string[] }

/** Whether a flag of the type bool is given, and on; of several the last counts. */
export const isGiven = ({ values }: ParsedFlags, name: string): boolean => ['true', '1'].includes(values.get(name)?.at(-1) ?? '')

/** A command line that can't be understood; `message` is what pflag says. */
export class FlagError extends Error {}

/** Parses as pflag does: `--name=value`, `--name value`, `-n value`, `-nvalue`, bundled booleans, `--` ends flags. */
export function parseFlags(argv: string[], flags: Flags): ParsedFlags {
  const parsed: ParsedFlags = { values: new Map(), args: [] }
  const rest = [...argv]
  while (rest.length > 0) {
    const arg = rest.shift()!
    if (arg === '--') { parsed.args.push(...rest); break }
    if (arg.startsWith('--')) long(arg.slice(2), rest, flags, parsed)
    else if (arg.startsWith('-') && arg !== '-') shorts(arg.slice(1), rest, flags, parsed)
    else parsed.args.push(arg)
  }
  return parsed
}

function long(text: string, rest: string[], flags: Flags, parsed: ParsedFlags): void {
  const equals = text.indexOf('=')
  const name = equals < 0 ? text : text.slice(0, equals)
  const flag = Object.hasOwn(flags, name) ? flags[name] : undefined
  if (flag === undefined) throw new FlagError(`unknown flag: --${name}${didYouMean(name, Object.keys(flags))}`)
  const value = equals >= 0 ? text.slice(equals + 1) : flag.type === 'bool' ? 'true' : rest.shift()
  if (value === undefined) throw new FlagError(`flag needs an argument: --${name}`)
  set(parsed, name, flag, value, `--${name}`)
}

function shorts(text: string, rest: string[], flags: Flags, parsed: ParsedFlags): void {
  for (let i = 0; i < text.length; i++) {
    const entry = Object.entries(flags).find(([, flag]) => flag.short === text[i])
    if (entry === undefined) throw new FlagError(`unknown shorthand flag: '${text[i]}' in -${text}`)
    const [name, flag] = entry
    if (flag.type === 'bool') { set(parsed, name, flag, 'true', `-${text[i]}`); continue }
    const value = i + 1 < text.length ? text.slice(i + 1).replace(/^=/, '') : rest.shift()
    if (value === undefined) throw new FlagError(`flag needs an argument: '${text[i]}' in -${text}`)
    set(parsed, name, flag, value, `-${text[i]}, --${name}`)
    return
  }
}

function set(parsed: ParsedFlags, name: string, flag: Flag, value: string, shown: string): void {
  if (flag.type === 'number' && !/^(0x[0-9a-f]+|\d+)$/i.test(value)) throw new FlagError(`invalid argument "${value}" for "${shown}" flag: not a number`)
  if (flag.type === 'bool' && !/^(true|false|1|0)$/.test(value)) throw new FlagError(`invalid argument "${value}" for "${shown}" flag: not true or false`)
  const before = flag.type === 'list' ? parsed.values.get(name) ?? [] : []
  parsed.values.set(name, [...before, ...(flag.type === 'list' ? value.split(',') : [value])])
}
