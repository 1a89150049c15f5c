import type { Flags, ParsedFlags } from '../config/flags.ts'
import { sortedJson } from '../text/gojson.ts'
import { jsonpath } from './jsonpath.ts'

export const outputFlags: Flags = { output: { type: 'string', short: 'o', usage: 'json| jsonpath=\'{}\'' } }

/** The data in the form asked for by -o, else as `text` makes it. */
export function render<T>(parsed: ParsedFlags, data: T, text: (data: T) => string): string {
  const output = parsed.values.get('output')?.[0]
  if (output === undefined) return text(data)
  if (output === 'json') return sortedJson(data, 2) + '\n'
  if (output.startsWith('jsonpath=')) {
    try { return jsonpath(output.slice('jsonpath='.length), data) + '\n' } catch (error) { throw new Error(`Couldn't parse jsonpath expression: '${(error as Error).message}'`, { cause: error }) }
  }
  throw new Error(`found error: ${JSON.stringify(output)} is no output format: json and jsonpath='{…}' are`)
}
