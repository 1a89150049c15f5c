import { z } from 'zod'
import type { CellEvent } from '../cell-events.ts'

/** What a pod is told beside its arguments, which are those of `npm run e2e`. */
const podTaskSchema = z.object({
  id: z.string(),
  /** What results call the cell. */
  name: z.string(),
  agent: z.string(),
  /** Command that repeats it. */
  repeat: z.string(),
  /** Where no source has the kernel, that is no error. */
  optional: z.boolean(),
  /** Files of the runner's host come before the cell can begin. */
  inputs: z.boolean(),
})
export type PodTask = z.infer<typeof podTaskSchema>

export const readPodTask = (text: string): PodTask => podTaskSchema.parse(JSON.parse(text))

/** What a pod says last: its cell has ended, and its folder waits in an archive to be fetched. */
export interface PodResults {
  readonly kind: 'results'
  /** The cell's exit code. */
  readonly code: number
  /** Path in the pod of a `.tar.gz`, and its length. */
  readonly archive: string
  readonly bytes: number
  readonly sha256: string
}

export type PodEvent = CellEvent | PodResults

/**
 * Lines of a pod's log: a number, which tells a line read twice, then an event as JSON, or after `|` a line for people.
 *
 *     12 | ✓ boot node1 6.1 s
 *     13 {"kind":"phase","phase":"cluster"}
 */
export function podLine(number: number, event: PodEvent): string {
  return event.kind === 'line' ? `${number} | ${event.text}` : `${number} ${JSON.stringify(event)}`
}

/** Undefined for a line that a pod did not write so. */
export function readPodLine(line: string): { readonly number: number; readonly event: PodEvent } | undefined {
  const [, digits, text] = /^(\d+) (.*)$/s.exec(line) ?? []
  if (digits === undefined || text === undefined) return undefined
  if (text.startsWith('|')) return { number: Number(digits), event: { kind: 'line', text: text.slice(2) } }
  try {
    return { number: Number(digits), event: JSON.parse(text) as PodEvent }
  } catch {
    return undefined
  }
}
