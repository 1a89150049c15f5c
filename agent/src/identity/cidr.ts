import { contains } from '../cluster/cidr.ts'
import type { Labels } from './labels.ts'
import { lastAllocated, type Identity } from './reserved.ts'

/**
 * Identities of the prefixes that this node's policies name. They are of this node alone: numbers come from beyond those of the cluster (LOCAL_ID in
 * agent/bpf/lib/net.h) and go out to no other node. 0.0.0.0/0 is the world itself and has none.
 */
export class CIDRIdentities {
  readonly #ids: Map<string, number>
  readonly #absent = new Set<string>()
  #last: number
  /** `known`: what an agent before has left in the datapath. */
  constructor(known: Iterable<{ prefix: string; identity: number }> = []) {
    this.#ids = new Map([...known].map(({ prefix, identity }) => [prefix, identity]))
    this.#last = Math.max(lastAllocated, ...this.#ids.values())
  }

  /** By number. */
  get prefixes(): ReadonlyMap<number, string> { return new Map([...this.#ids].map(([prefix, id]) => [id, prefix])) }

  /** Those that the datapath has not: their addresses have the identity of what is around them. */
  get absent(): ReadonlySet<string> { return this.#absent }

  has(prefix: string): boolean { return this.#ids.has(prefix) }

  /** The number of a prefix, a new one at first, which the datapath has not then. 24 bits are what the datapath has room for. */
  of(prefix: string): number {
    const known = this.#ids.get(prefix)
    if (known !== undefined) return known
    const used = new Set(this.#ids.values())
    do this.#last = this.#last >= 0xff_ffff ? lastAllocated + 1 : this.#last + 1
    while (used.has(this.#last))
    this.#ids.set(prefix, this.#last)
    this.#absent.add(prefix)
    return this.#last
  }

  /** The datapath has it now. */
  realize(prefix: string): void { this.#absent.delete(prefix) }

  forget(prefix: string): void { this.#ids.delete(prefix); this.#absent.delete(prefix) }

  /** As lists show them: `cidr:10.9.0.0/16`, those it lies in, and the world. */
  list(): Identity[] {
    const all = [...this.#ids.keys()]
    return [...this.#ids].map(([prefix, id]) => ({ id, labels: labelsOf(all.filter((other) => contains(other, prefix))) }))
  }
}

const labelsOf = (prefixes: string[]): Labels => [...prefixes.map((prefix) => `cidr:${prefix}`), 'reserved:world'].sort()
