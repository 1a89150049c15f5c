import { identityText } from '../monitor/index.ts'
import type { FlowEnd } from './types.ts'

/** A failed assertion's text: expected, then evidence in named blocks, as Playwright orders it. */
export function compose(headline: string, blocks: readonly (readonly [title: string, lines: readonly string[]])[]): string {
  return [headline, ...blocks.flatMap(([title, lines]) => (lines.length ? ['', `${title}:`, ...lines.map((line) => `  ${line}`)] : []))].join('\n')
}

/** `suites/client-1 (10.244.0.7, identity 300, endpoint 12)`. */
export function endText(end: FlowEnd | string): string {
  if (typeof end === 'string') return end
  const facts = [end.ip, end.identity === undefined ? '' : `identity ${identityText(end.identity)}`, end.endpoint === undefined ? '' : `endpoint ${end.endpoint}`].filter(Boolean)
  return `${end.name} (${facts.join(', ')})`
}

/** At most `limit` lines, and how many more there are. */
export function atMost(lines: readonly string[], limit: number): string[] {
  return lines.length <= limit ? [...lines] : [...lines.slice(0, limit), `… and ${lines.length - limit} more`]
}
