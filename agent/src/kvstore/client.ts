import type { Etcd3, ICompare, IKeyValue, IOptions, IRequestOp, ITxnResponse, IWatchResponse } from 'etcd3'
import { messageOf } from '../log.ts'
import type { EtcdConfig } from './config.ts'

/** A key's value and what etcd says of it. Revisions and leases are decimal, as they have 64 bits; a lease of `0` is none. */
export interface Entry { value: string; lease: string; modified: string }

/** etcd is out of reach, or refuses. */
export class KvstoreError extends Error {}

/** What a watch began with is no longer there: what it missed is found by listing anew. */
export class Compacted extends KvstoreError {}

/** Of one endpoint. */
export interface EndpointStatus { endpoint: string; version?: string; leader?: boolean; error?: string }

/** Milliseconds for an answer: emulated nodes of a busy host are slow. Whether etcd is there is told sooner. */
const answerMs = 15_000
const statusMs = 5_000

const bytes = (text: string): Buffer => Buffer.from(text)
/** All keys with a prefix: from it to the first that comes after all of them. Of no prefix at all, everything, as etcd writes that. */
function under(prefix: string): { key: Buffer; range_end: Buffer } {
  if (prefix === '') return { key: Buffer.of(0), range_end: Buffer.of(0) }
  const end = bytes(prefix)
  end[end.length - 1]!++
  return { key: bytes(prefix), range_end: end }
}
const entryOf = ({ value, lease, mod_revision: modified }: IKeyValue): Entry => ({ value: value.toString(), lease, modified })

/** Conditions of a transaction. */
export const compare = {
  /** No such key. */
  absent: (key: string): ICompare => ({ key: bytes(key), target: 'Create', result: 'Equal', create_revision: '0' }),
  /** No key begins with the prefix. */
  noneUnder: (prefix: string): ICompare => ({ ...under(prefix), target: 'Create', result: 'Equal', create_revision: '0' }),
  /** The key is there, and has this value. */
  value: (key: string, value: string): ICompare => ({ key: bytes(key), target: 'Value', result: 'Equal', value: bytes(value) }),
  /** The key is there, and has another value. */
  otherValue: (key: string, value: string): ICompare => ({ key: bytes(key), target: 'Value', result: 'NotEqual', value: bytes(value) }),
  /** Nobody wrote it since. */
  unchanged: (key: string, { modified }: Entry): ICompare => ({ key: bytes(key), target: 'Mod', result: 'Equal', mod_revision: modified }),
}

/** What a transaction does. */
export const op = {
  put: (key: string, value: string, lease = '0'): IRequestOp => ({ request_put: { key: bytes(key), value: bytes(value), lease } }),
  get: (key: string): IRequestOp => ({ request_range: { key: bytes(key) } }),
  /** The first key with a prefix. */
  first: (prefix: string): IRequestOp => ({ request_range: { ...under(prefix), limit: '1' } }),
  delete: (key: string): IRequestOp => ({ request_delete_range: { key: bytes(key) } }),
  deleteUnder: (prefix: string): IRequestOp => ({ request_delete_range: { ...under(prefix) } }),
}

/** A transaction's outcome: the revision it made or saw, and for each range that it asked for the first value found. */
export interface TxnResult { succeeded: boolean; revision: string; found: (string | undefined)[] }

type Policy = NonNullable<NonNullable<IOptions['faultHandling']>['global']>

/** Requests are made once: who asks knows best when to ask again. The default of etcd3 is three tries at once, then none for five seconds. */
const once: Omit<Policy, '_altReturn'> = {
  onSuccess: () => ({ dispose: () => undefined }), onFailure: () => ({ dispose: () => undefined }),
  execute: async (run) => run({ signal: new AbortController().signal }),
}

/**
 * A connection to etcd, made when it is needed and again when it is lost. The library is loaded with the first, as agents that keep nothing in etcd are most. Of it only the calls are
 * used: its own watcher takes up again at the revision that etcd was at when the watch was confirmed, and misses what was between.
 */
export class Kvstore {
  readonly endpoints: readonly string[]
  readonly #etcd: Etcd3
  /** By endpoint; the same one where there is one endpoint. */
  readonly #each: ReadonlyMap<string, Etcd3>

  private constructor(etcd: Etcd3, each: ReadonlyMap<string, Etcd3>) {
    this.#etcd = etcd
    this.#each = each
    this.endpoints = [...each.keys()]
  }

  static async open({ endpoints, ca, identity }: EtcdConfig): Promise<Kvstore> {
    const { Etcd3: Client } = await import('etcd3')
    const to = (hosts: string[]): Etcd3 => new Client({
      hosts, ...(ca === undefined ? {} : { credentials: { rootCertificate: ca, ...(identity === undefined ? {} : { privateKey: identity.key, certChain: identity.cert }) } }),
      defaultCallOptions: ({ isStream }) => (isStream ? {} : { deadline: Date.now() + answerMs }),
      faultHandling: { global: once as Policy, host: () => once as Policy },
      // Only an unanswered ping tells when a node is cut off; etcd takes one every 5 s at most.
      grpcOptions: { 'grpc.keepalive_time_ms': 15_000, 'grpc.keepalive_timeout_ms': 10_000, 'grpc.initial_reconnect_backoff_ms': 200, 'grpc.max_reconnect_backoff_ms': 2_000 },
    })
    const etcd = to(endpoints)
    return new Kvstore(etcd, new Map(endpoints.map((endpoint) => [endpoint, endpoints.length === 1 ? etcd : to([endpoint])])))
  }

  /** All keys with a prefix, and the revision that this is of. */
  async list(prefix: string): Promise<{ revision: string; entries: Map<string, Entry> }> {
    const { header, kvs } = await this.#asked('list keys', () => this.#etcd.kv.range({ ...under(prefix) }))
    return { revision: header.revision, entries: new Map(kvs.map((kv) => [kv.key.toString(), entryOf(kv)])) }
  }

  async get(key: string): Promise<string | undefined> {
    const { kvs } = await this.#asked('read a key', () => this.#etcd.kv.range({ key: bytes(key) }))
    return kvs[0]?.value.toString()
  }

  async put(key: string, value: string, lease = '0'): Promise<string> {
    return (await this.txn([], [op.put(key, value, lease)])).revision
  }

  /** Returns how many went. */
  async delete(key: string, options: { recursive: boolean } = { recursive: false }): Promise<number> {
    const { deleted } = await this.#asked('delete a key', () => this.#etcd.kv.deleteRange(options.recursive ? under(key) : { key: bytes(key) }))
    return Number(deleted)
  }

  /** If all conditions hold, the one, else the other; all or nothing. */
  async txn(conditions: ICompare[], then: IRequestOp[], otherwise: IRequestOp[] = []): Promise<TxnResult> {
    const { succeeded, header, responses } = await this.#asked('write', (): Promise<ITxnResponse> => this.#etcd.kv.txn({ compare: conditions, success: then, failure: otherwise }))
    return { succeeded, revision: header.revision, found: responses.flatMap(({ response_range: range }) => (range ? [range.kvs[0]?.value.toString()] : [])) }
  }

  /** Follows changes of keys with a prefix from a revision on, until `signal` fires. Throws when the connection ends, or when that revision was compacted away. */
  async watch(prefix: string, from: string, on: { open: () => void; change: (key: string, entry: Entry | undefined, revision: string) => void }, signal: AbortSignal): Promise<void> {
    const stream = await this.#asked('watch', () => this.#etcd.watchClient.watch())
    const { promise: ended, resolve, reject } = Promise.withResolvers<void>()
    const stop = (): void => { resolve(); stream.cancel() }
    signal.addEventListener('abort', stop, { once: true })
    stream.on('data', ({ created, canceled, cancel_reason: why, compact_revision: compacted, events }: IWatchResponse) => {
      if (canceled) { reject(Number(compacted) > 0 ? new Compacted(`revision ${from} was compacted away`) : new KvstoreError(`etcd ended the watch: ${why}`)); return }
      if (created) on.open()
      for (const { type, kv } of events) on.change(kv.key.toString(), type === 'Put' ? entryOf(kv) : undefined, kv.mod_revision)
    })
    stream.on('error', (error) => reject(new KvstoreError(short(error), { cause: error })))
    stream.on('end', () => reject(new KvstoreError('etcd ended the connection')))
    stream.write({ create_request: { ...under(prefix), start_revision: from } })
    try {
      if (signal.aborted) stop()
      await ended
    } finally {
      signal.removeEventListener('abort', stop)
      stream.cancel()
    }
  }

  /** A new lease of so many seconds. */
  async grant(ttl: number): Promise<string> {
    return (await this.#asked('get a lease', () => this.#etcd.leaseClient.leaseGrant({ TTL: ttl }))).ID
  }

  /** Renews a lease; false when there is none any more. */
  async keepAlive(lease: string): Promise<boolean> {
    const stream = await this.#asked('renew the lease', () => this.#etcd.leaseClient.leaseKeepAlive({ deadline: Date.now() + answerMs }))
    try {
      const { TTL } = await new Promise<{ TTL: string }>((resolve, reject) => {
        stream.on('data', resolve).on('error', (error) => reject(new KvstoreError(`cannot renew the lease: ${short(error)}`, { cause: error }))).on('end', () => reject(new KvstoreError('cannot renew the lease: etcd ended the connection')))
        stream.write({ ID: lease })
      })
      return Number(TTL) > 0
    } finally {
      stream.end()
    }
  }

  /** Asks every endpoint for its status. Never throws. */
  status(): Promise<EndpointStatus[]> {
    return Promise.all([...this.#each].map(async ([endpoint, etcd]): Promise<EndpointStatus> => {
      try {
        const { version, leader, header } = await etcd.maintenance.status({ deadline: Date.now() + statusMs })
        return { endpoint, version, leader: header.member_id === leader }
      } catch (error) {
        return { endpoint, error: short(error) }
      }
    }))
  }

  close(): void {
    for (const etcd of new Set([this.#etcd, ...this.#each.values()])) etcd.close()
  }

  async #asked<T>(what: string, run: () => Promise<T>): Promise<T> {
    try { return await run() } catch (error) { throw new KvstoreError(`cannot ${what}: ${short(error)}`, { cause: error }) }
  }
}

/** Whether a request was refused because its lease is over. */
export const isLeaseGone = (error: unknown): boolean => error instanceof KvstoreError && /requested lease not found/.test(messageOf(error.cause))

/** gRPC's errors begin with a code and its name, and go on with details of the connection's state: `14 UNAVAILABLE: No connection established. Last error: Error: connect ECONNREFUSED … (…)`. */
const short = (error: unknown): string => messageOf(error).replace(/^\d+ [A-Z_]+: /, '').replace(/^No connection established\. Last error: (Error: )?/, '').replace(/\. Resolution note:.*$/s, '').split('\n')[0]!
