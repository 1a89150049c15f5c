import { hasFault } from '../fault.ts'
import { messageOf } from '../log.ts'

const bounds = { messages: 3, items: 3, characters: 400 } as const

/** A run that went on past what failed. The message names the first of it, and how much else there is. */
export class SomeFailed extends Error {
  /** Why each failed. */
  readonly items: ReadonlyMap<string, string>

  constructor(items: ReadonlyMap<string, string>) {
    const groups = [...Map.groupBy(items, ([, message]) => message)].map(([message, same]) => `${named(same.map(([item]) => item))}: ${cut(message)}`)
    const rest = groups.length - bounds.messages
    super([...groups.slice(0, bounds.messages), ...(rest > 0 ? [`and ${rest} more`] : [])].join('; '))
    this.name = 'SomeFailed'
    this.items = items
  }
}

const named = (items: string[]): string => `${items.slice(0, bounds.items).join(', ')}${items.length > bounds.items ? ` and ${items.length - bounds.items} more` : ''}`
const cut = (text: string): string => (text.length > bounds.characters ? `${text.slice(0, bounds.characters)}…` : text)

/** What failed of a run, by item: an address, a prefix, `endpoint 57`. */
export class Problems {
  readonly #found = new Map<string, string>()

  add(item: string, error: unknown): void { this.#found.set(item, messageOf(error)) }

  /** Runs one item's part; what it throws is kept for the end. */
  try(item: string, run: () => void): void {
    try { run() } catch (error) { this.add(item, error) }
  }

  /** Throws SomeFailed if anything has failed. */
  end(): void {
    if (this.#found.size > 0 && !hasFault('refusal-not-told')) throw new SomeFailed(this.#found)
  }
}
