import { expect, it } from 'vitest'
import { parseFlags, type Flags } from './flags.ts'

const flags: Flags = {
  type: { type: 'list', short: 't', usage: '' }, verbose: { type: 'bool', short: 'v', usage: '' }, json: { type: 'bool', short: 'j', usage: '' },
  from: { type: 'list', usage: '' }, output: { type: 'string', short: 'o', usage: '' },
}
const parse = (line: string) => { const { values, args } = parseFlags(line.split(' '), flags); return { ...Object.fromEntries(values), args } }

it('repeats and splits lists', () => expect(parse('-t drop --type=trace,l7')).toEqual({ type: ['drop', 'trace', 'l7'], args: [] }))
it('takes bundled booleans and joined values', () => expect(parse('-vj -ojson x')).toEqual({ verbose: ['true'], json: ['true'], output: ['json'], args: ['x'] }))
it('ends at --', () => expect(parse('-v -- -x')).toEqual({ verbose: ['true'], args: ['-x'] }))
it('names the nearest flag', () => expect(() => parse('--verbos')).toThrow('unknown flag: --verbos, did you mean "verbose"?'))
it('says which shorthand is unknown', () => expect(() => parse('-x')).toThrow("unknown shorthand flag: 'x' in -x"))
it('wants values', () => expect(() => parse('--output')).toThrow('flag needs an argument: --output'))
