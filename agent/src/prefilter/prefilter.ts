import { existsSync, readFileSync } from 'node:fs'
import * as z from 'zod/mini'
import { normalized } from '../cluster/cidr.ts'
import { replaceFile } from '../files.ts'
import { messageOf, type Logger } from '../log.ts'

const saved = z.object({ revision: z.int(), deny: z.array(z.string()) })

/** `revision`: the one that the change was made for; it must be the present one. */
export interface PrefilterChange { deny: readonly string[]; revision?: number }

/** Source prefixes that this node drops as they come in (`cilium prefilter`); in one file, so that they outlive the agent. */
export class Prefilter {
  readonly #path: string
  readonly #put: (deny: readonly string[]) => void
  #revision = 1
  #deny: string[] = []

  /** `put` makes a list all that is denied, or throws with why that can't be. */
  constructor(path: string, put: (deny: readonly string[]) => void, log: Logger) {
    this.#path = path
    this.#put = put
    if (!existsSync(path)) return
    try {
      const { revision, deny } = saved.parse(JSON.parse(readFileSync(path, 'utf8')))
      this.#revision = revision
      this.#deny = deny
    } catch (error) {
      log.error('Unable to read the prefixes that are denied, none is: deny them again', { path, error: messageOf(error) })
    }
  }

  get revision(): number { return this.#revision }
  list(): string[] { return [...this.#deny] }

  /** Brings the datapath to what is denied; nothing to do where nothing ever was. */
  apply(): void { if (this.#deny.length > 0) this.#put(this.#deny) }

  /** Throws, and changes nothing, for what is no prefix, another revision, or a kernel that can't. */
  add({ deny, revision }: PrefilterChange): void {
    const prefixes = deny.map(checked)
    this.#change([...new Set([...this.#deny, ...prefixes])].sort(), revision)
  }

  remove({ deny, revision }: PrefilterChange): void {
    const prefixes = deny.map(checked)
    const unknown = prefixes.filter((prefix) => !this.#deny.includes(prefix))
    if (unknown.length > 0) throw new Error(`${unknown.join(', ')} ${unknown.length === 1 ? 'is' : 'are'} not denied`)
    this.#change(this.#deny.filter((prefix) => !prefixes.includes(prefix)), revision)
  }

  #change(deny: string[], revision: number | undefined): void {
    if (revision !== undefined && revision !== 0 && revision !== this.#revision) throw new Error(`Latest revision is ${this.#revision} not ${revision}`)
    this.#put(deny)
    this.#deny = deny
    this.#revision++
    replaceFile(this.#path, `${JSON.stringify({ revision: this.#revision, deny }, null, 2)}\n`)
  }
}

function checked(text: string): string {
  const prefix = normalized(text)
  if (prefix.endsWith('/0')) throw new Error(`${prefix} would cut this node off: deny narrower prefixes`)
  return prefix
}
