import { isLeaseGone, type Kvstore } from './client.ts'

/** This node's lease: what it writes under it goes when the node is heard of no more. An agent that returns takes a new one and writes anew. */
export class NodeLease {
  readonly #store: Kvstore
  readonly #ttl: number
  #id: string | undefined
  #granting: Promise<string> | undefined

  /** `ttl` in seconds. */
  constructor(store: Kvstore, ttl: number) {
    this.#store = store
    this.#ttl = ttl
  }

  get id(): string | undefined { return this.#id }

  /** Milliseconds between renewals: two may fail. */
  get renewMs(): number { return this.#ttl * 1000 / 3 }

  /** Runs something with the lease, got first where there is none; once more with a new one when it turns out to be over. */
  async with<T>(run: (lease: string) => Promise<T>): Promise<T> {
    try { return await run(await this.#current()) } catch (error) {
      if (!isLeaseGone(error)) throw error
      this.#id = undefined
      return run(await this.#current())
    }
  }

  /** Renews it. False when it was over: there is a new one then, and what was under the old one is to be written again. */
  async renew(): Promise<boolean> {
    if (this.#id !== undefined && await this.#store.keepAlive(this.#id)) return true
    this.#id = undefined
    await this.#current()
    return false
  }

  async #current(): Promise<string> {
    if (this.#id !== undefined) return this.#id
    this.#granting ??= this.#store.grant(this.#ttl).finally(() => { this.#granting = undefined })
    return this.#id = await this.#granting
  }
}
