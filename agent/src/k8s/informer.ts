import { messageOf, type Logger } from '../log.ts'
import { sleep } from '../sleep.ts'
import { isStatus, KubeError, type KubeClient } from './client.ts'
import type { KubeList, KubeObject } from './types.ts'

/** `older` is asked where the server has no `path`; one that has neither has none of these objects. */
export interface Source { path: string; older?: string; fieldSelector?: string }

const watchSeconds = 290
const backoff = { first: 200, most: 10_000 }
/** Until a server is asked again for what it doesn't have. */
const absentMs = 60_000

export const keyOf = ({ metadata: { namespace, name } }: KubeObject): string => (namespace === undefined ? name : `${namespace}/${name}`)

/** Keeps a local copy of one kind of object by list and watch. Reads are of the copy; `onChange` says that it changed. */
export class Informer<T extends KubeObject> {
  readonly #items = new Map<string, T>()
  readonly #listeners = new Set<() => void>()
  readonly #stop = new AbortController()
  readonly #ready = Promise.withResolvers<void>()
  #synced = false
  #error: string | undefined

  readonly source: Source
  /** Of the source's paths the one that the server has; undefined when it has none. */
  #path: string | undefined
  constructor(source: Source) { this.source = source }

  /** Resolves after the first complete list. */
  get ready(): Promise<void> { return this.#ready.promise }
  get synced(): boolean { return this.#synced }
  /** Why the last list or watch failed; undefined while it works. */
  get error(): string | undefined { return this.#error }

  list(): T[] { return [...this.#items.values()] }
  get(key: string): T | undefined { return this.#items.get(key) }
  onChange(listener: () => void): void { this.#listeners.add(listener) }
  stop(): void { this.#stop.abort() }

  /** Runs until `stop`. Failures are retried for ever, with a growing pause, and logged once each time they change. */
  async run(client: KubeClient, log: Logger): Promise<void> {
    const { signal } = this.#stop
    let version: string | undefined
    let pause = backoff.first
    while (!signal.aborted) {
      try {
        version ??= await this.#relist(client)
        if (this.#path === undefined) {
          version = undefined
          await sleep(absentMs, signal)
          continue
        }
        version = await this.#watch(client, this.#path, version, () => { this.#error = undefined; pause = backoff.first })
      } catch (error) {
        if (signal.aborted) break
        if (error instanceof KubeError && error.status === 410) { version = undefined; continue }
        // What was missed while away is seen by listing anew: a resource version may be gone with the server's watch cache.
        if (!(error instanceof KubeError && error.status === 0)) version = undefined
        if (this.#error !== messageOf(error)) log.warning('Unable to follow Kubernetes objects, retrying', { path: this.source.path, error: messageOf(error) })
        this.#error = messageOf(error)
        await sleep(pause * (0.75 + Math.random() / 2), signal)
        pause = Math.min(pause * 2, backoff.most)
      }
    }
  }

  async #relist(client: KubeClient): Promise<string> {
    const list = await this.#getList(client)
    const seen = new Set<string>()
    let changed = false
    for (const item of list.items ?? []) { seen.add(keyOf(item)); changed = this.#put(item) || changed }
    for (const key of this.#items.keys()) if (!seen.has(key)) { this.#items.delete(key); changed = true }
    if (!this.#synced) { this.#synced = true; this.#ready.resolve(); changed = true }
    if (changed) this.#notify()
    return list.metadata.resourceVersion ?? '0'
  }

  async #getList(client: KubeClient): Promise<KubeList<T>> {
    const { path, older } = this.source
    const get = async (from: string): Promise<KubeList<T>> => {
      const list = await client.get<KubeList<T>>(from, this.#selector())
      this.#path = from
      return list
    }
    if (older === undefined) return get(path)
    // A path that was there is asked first: a server that was replaced may have only the other.
    for (const from of this.#path === older ? [older, path] : [path, older]) {
      try { return await get(from) } catch (error) { if (!isStatus(error, 404)) throw error }
    }
    this.#path = undefined
    return { metadata: {}, items: [] }
  }

  /** Returns the version to go on from when the server ends the watch, as it does every few minutes. */
  async #watch(client: KubeClient, path: string, from: string, onOpen: () => void): Promise<string | undefined> {
    let version: string | undefined = from
    const query = { ...this.#selector(), allowWatchBookmarks: 'true', resourceVersion: from, timeoutSeconds: String(watchSeconds) }
    await client.watch<T>(path, query, (event) => {
      if (event.type === 'ERROR') throw new KubeError(`WATCH ${path}`, event.object.code ?? 500, 'Watch', event.object.message ?? 'watch failed')
      version = event.object.metadata.resourceVersion
      if (event.type === 'BOOKMARK') return
      const changed = event.type === 'DELETED' ? this.#items.delete(keyOf(event.object)) : this.#put(event.object)
      if (changed) this.#notify()
    }, { signal: this.#stop.signal, onOpen })
    return version
  }

  #put(item: T): boolean {
    const key = keyOf(item)
    if (item.metadata.resourceVersion !== undefined && this.#items.get(key)?.metadata.resourceVersion === item.metadata.resourceVersion) return false
    this.#items.set(key, item)
    return true
  }

  #selector(): Record<string, string> {
    return this.source.fieldSelector === undefined ? {} : { fieldSelector: this.source.fieldSelector }
  }

  #notify(): void {
    for (const listener of this.#listeners) listener()
  }
}
