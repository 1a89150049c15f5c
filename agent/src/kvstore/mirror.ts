import { hasFault } from '../fault.ts'
import { messageOf, type Logger } from '../log.ts'
import { sleep } from '../sleep.ts'
import type { Entry, Kvstore } from './client.ts'

const backoff = { first: 200, most: 3_000 }

/**
 * A local copy of all keys with a prefix, by list and watch. Whatever ends the watch (a lost connection, a compaction), what was missed is seen by listing anew. Without etcd the copy
 * stays as it was.
 */
export class Mirror {
  readonly #store: Kvstore
  readonly #prefix: string
  readonly #log: Logger
  readonly #items = new Map<string, Entry>()
  readonly #listeners = new Set<() => void>()
  readonly #turns = new Set<() => void>()
  readonly #stop = new AbortController()
  readonly #ready = Promise.withResolvers<void>()
  #synced = false
  #error: string | undefined

  constructor(store: Kvstore, prefix: string, log: Logger) {
    this.#store = store
    this.#prefix = prefix
    this.#log = log
  }

  /** Resolves after the first complete list. */
  get ready(): Promise<void> { return this.#ready.promise }
  get synced(): boolean { return this.#synced }
  /** Why it can't be followed now; undefined while it is. */
  get error(): string | undefined { return this.#error }

  get(key: string): Entry | undefined { return this.#items.get(key) }
  /** Those that begin with a prefix, by what follows it. */
  under(prefix: string): [string, Entry][] { return [...this.#items].filter(([key]) => key.startsWith(prefix)).map(([key, entry]) => [key.slice(prefix.length), entry]) }
  onChange(listener: () => void): void { this.#listeners.add(listener) }
  /** Called when etcd is lost, and when it is followed again. */
  onTurn(listener: () => void): void { this.#turns.add(listener) }
  stop(): void { this.#stop.abort() }

  /** Enters what this agent has just written, without waiting until it comes back. */
  note(key: string, entry: Entry): void {
    if (this.#put(key, entry)) this.#notify()
  }

  /** Runs until `stop`. */
  async run(): Promise<void> {
    const { signal } = this.#stop
    let pause = backoff.first
    while (!signal.aborted) {
      try {
        const revision = await this.#relist()
        await this.#store.watch(this.#prefix, next(revision), { open: () => { pause = backoff.first; this.#found() }, change: (key, entry, at) => this.#change(key, entry, at) }, signal)
      } catch (error) {
        if (signal.aborted) break
        this.#lost(messageOf(error))
        if (hasFault('kvstore-stays-away') && this.#synced) { this.#found(); return }
        await sleep(pause * (0.75 + Math.random() / 2), signal)
        pause = Math.min(pause * 2, backoff.most)
      }
    }
  }

  async #relist(): Promise<string> {
    const { revision, entries } = await this.#store.list(this.#prefix)
    let changed = !this.#synced
    for (const [key, entry] of entries) changed = this.#put(key, entry) || changed
    for (const key of this.#items.keys()) if (!entries.has(key)) { this.#items.delete(key); changed = true }
    this.#synced = true
    this.#ready.resolve()
    if (changed) this.#notify()
    return revision
  }

  #change(key: string, entry: Entry | undefined, revision: string): void {
    if (entry !== undefined) { this.note(key, entry); return }
    const present = this.#items.get(key)
    if (present === undefined || isNewer(present.modified, revision)) return
    this.#items.delete(key)
    this.#notify()
  }

  #put(key: string, entry: Entry): boolean {
    const present = this.#items.get(key)
    if (present !== undefined && !isNewer(entry.modified, present.modified)) return false
    this.#items.set(key, entry)
    return true
  }

  #found(): void {
    const endpoints = this.#store.endpoints.join(',')
    if (this.#error !== undefined) this.#log.info('Connected to etcd again', { endpoints })
    this.#error = undefined
    for (const listener of this.#turns) listener()
  }

  #lost(error: string): void {
    if (this.#error !== error) this.#log.warning(`${this.#synced ? 'Lost etcd: traffic and policy go on, labels without an identity here get none' : 'Waiting for etcd'}; retrying`, { endpoints: this.#store.endpoints.join(','), error })
    const turned = this.#error === undefined
    this.#error = error
    if (turned) for (const listener of this.#turns) listener()
  }

  #notify(): void {
    for (const listener of this.#listeners) listener()
  }
}

/** Revisions have 64 bits. */
const isNewer = (one: string, other: string): boolean => BigInt(one) > BigInt(other)
const next = (revision: string): string => String(BigInt(revision) + 1n)
