import { hasFault } from '../fault.ts'
import type { Labels } from '../identity/labels.ts'
import { candidate, firstAllocated, lastAllocated, reservedIdentities } from '../identity/reserved.ts'
import type { Logger } from '../log.ts'
import { compare, op, type Entry, type Kvstore } from './client.ts'
import { decodeLabels, encodeLabels, idKey, prefixes, userKey, userOf, usersPrefix } from './layout.ts'
import type { NodeLease } from './lease.ts'
import type { Mirror } from './mirror.ts'

export interface KvstoreDeps { store: Kvstore; mirror: Mirror; lease: NodeLease; node: { name: string; ipv4: string }; log: Logger; /** Milliseconds of a clock that only goes forward. */ now?: () => number }

/** Tries, before an allocation is given up: each follows upon another node's that came in between. */
const mostTries = 16
/** How long an identity that was allocated is kept without an endpoint that has it: one is about to. */
const claimMs = 30_000

/** A seeded fault: every node has identities of its own. */
const perNode = (): boolean => hasFault('kvstore-identity-per-node')

/**
 * Identities as Cilium keeps them in a kvstore: `id/N` says which labels N stands for and stays, `value/<labels>/<node>` says that a node uses it and goes with the node's lease. Every step is one transaction that
 * holds only if nothing came in between, so there is no lock: an identity is made where neither the number nor a user of the labels is there, taken where the number still stands for them,
 * and collected where no node uses it.
 */
export class KvstoreIdentities {
  readonly #deps: KvstoreDeps
  /** By labels: until when they count as used although no endpoint has them. */
  readonly #claims = new Map<string, number>()
  /** Unused ones: as they were when that was first seen, and since when. */
  readonly #unused = new Map<string, { modified: string; since: number }>()
  #known: Map<number, Labels> | undefined

  constructor(deps: KvstoreDeps) {
    this.#deps = deps
    deps.mirror.onChange(() => { this.#known = undefined })
  }

  all(): ReadonlyMap<number, Labels> {
    return this.#known ??= new Map([...reservedIdentities.map(({ id, labels }) => [id, labels] as const), ...this.#masters().flatMap(({ id, entry }) => { const labels = decodeLabels(entry.value); return labels === undefined ? [] : [[id, labels] as const] })])
  }

  /** The identity that this node uses for labels. */
  lookup(labels: Labels): number | undefined {
    const key = encodeLabels(labels)
    const { mirror, node } = this.#deps
    const used = mirror.get(userKey(key, node.ipv4))
    return used !== undefined && mirror.get(idKey(Number(used.value)))?.value === key ? Number(used.value) : undefined
  }

  async allocate(labels: Labels): Promise<number> {
    const key = encodeLabels(labels)
    this.#claims.set(key, this.#now() + claimMs)
    const known = this.lookup(labels)
    if (known !== undefined) return known
    const spare = perNode() ? undefined : this.#masters().filter(({ entry }) => entry.value === key).map(({ id }) => id).sort((a, b) => a - b)[0]
    for (let attempt = 0, step = this.#firstStep(); attempt < mostTries; attempt++) {
      const id = attempt === 0 && spare !== undefined ? spare : candidate(labels, step)
      const { made, owner, user } = await this.#make(id, key)
      if (made) return id
      const other = user ?? (owner === key ? id : undefined)
      if (other === undefined) step++
      else if (await this.take(other, key)) return other
      else await this.#forgetUsers(other, key)
    }
    throw new Error(`no identity could be had for ${labels.join(',')} in ${mostTries} tries: other nodes were faster each time, or their numbers are taken (cilium kvstore get --recursive ${prefixes.id})`)
  }

  /** Writes down that this node uses an identity, and puts its number back if that is gone; false when it stands for other labels now. */
  async take(id: number, key: string): Promise<boolean> {
    const used = await this.#write([compare.value(idKey(id), key)], id, key, false)
    if (used || hasFault('kvstore-collects-used')) return used
    return this.#write([compare.absent(idKey(id))], id, key, true)
  }

  /** Of this node's endpoints: brings what it uses to what they have. Throws when one has an identity that stands for other labels now; it needs another then. */
  async publish(inUse: ReadonlyMap<string, number>): Promise<void> {
    const { mirror, lease, store, node } = this.#deps
    const lost: string[] = []
    for (const [key, id] of inUse) {
      this.#claims.delete(key)
      const mine = mirror.get(userKey(key, node.ipv4))
      if (mine?.value === String(id) && mine.lease === lease.id && mirror.get(idKey(id))?.value === key) continue
      if (!await this.take(id, key)) lost.push(String(id))
    }
    for (const [rest] of mirror.under(prefixes.value)) {
      const user = userOf(rest)
      if (user?.node !== node.ipv4 || inUse.has(user.labels) || this.#isClaimed(user.labels)) continue
      await store.delete(prefixes.value + rest)
    }
    if (lost.length > 0) throw new Error(`identity ${lost.join(', ')} stands for other labels now: endpoints get another`)
  }

  /** Removes identities that no node uses at two looks, unchanged in between, at least `graceMs` apart. */
  async collect(graceMs: number): Promise<number> {
    const { mirror, store, log } = this.#deps
    const used = new Set(mirror.under(prefixes.value).flatMap(([rest]) => userOf(rest)?.labels ?? []))
    let removed = 0
    const masters = this.#masters()
    for (const key of this.#unused.keys()) if (!masters.some(({ id }) => idKey(id) === key)) this.#unused.delete(key)
    for (const { id, entry } of masters) {
      const key = idKey(id)
      if (!hasFault('kvstore-collects-used') && (used.has(entry.value) || this.#isClaimed(entry.value))) { this.#unused.delete(key); continue }
      const seen = this.#unused.get(key)
      if (seen?.modified !== entry.modified) { this.#unused.set(key, { modified: entry.modified, since: this.#now() }); continue }
      if (this.#now() - seen.since < graceMs) continue
      const conditions = [compare.unchanged(key, entry), ...(hasFault('kvstore-collects-used') ? [] : [compare.noneUnder(usersPrefix(entry.value))])]
      if (!(await store.txn(conditions, [op.delete(key)])).succeeded) continue
      this.#unused.delete(key)
      removed++
      log.info('Removed identity that no endpoint has', { identity: id, identityLabels: (decodeLabels(entry.value) ?? [entry.value]).join(',') })
    }
    return removed
  }

  #firstStep(): number { return perNode() ? Number(this.#deps.node.ipv4.split('.').at(-1)) : 0 }

  /** Makes an identity if neither the number nor a user of the labels is there; else says who has them. */
  async #make(id: number, key: string): Promise<{ made: boolean; owner?: string | undefined; user?: number | undefined }> {
    const { store, lease, node } = this.#deps
    return lease.with(async (own) => {
      const { succeeded, revision, found } = await store.txn([compare.absent(idKey(id)), ...(perNode() ? [] : [compare.noneUnder(usersPrefix(key))])], [op.put(idKey(id), key), op.put(userKey(key, node.ipv4), String(id), own)], [op.get(idKey(id)), op.first(usersPrefix(key))])
      if (succeeded) this.#noted(id, key, { revision, lease: own, master: true })
      const [owner, user] = found
      return { made: succeeded, owner, user: user === undefined ? undefined : Number(user) }
    })
  }

  async #write(conditions: Parameters<Kvstore['txn']>[0], id: number, key: string, master: boolean): Promise<boolean> {
    const { store, lease, node } = this.#deps
    return lease.with(async (own) => {
      const { succeeded, revision } = await store.txn(conditions, [...(master ? [op.put(idKey(id), key)] : []), op.put(userKey(key, node.ipv4), String(id), own)])
      if (succeeded) this.#noted(id, key, { revision, lease: own, master })
      return succeeded
    })
  }

  /** Users of labels whose number stands for others: they have been told so, or will find out. */
  async #forgetUsers(id: number, key: string): Promise<void> {
    await this.#deps.store.txn([compare.otherValue(idKey(id), key)], [op.deleteUnder(usersPrefix(key))])
  }

  /** What is written is known here at once. */
  #noted(id: number, key: string, { revision, lease, master }: { revision: string; lease: string; master: boolean }): void {
    const { mirror, node } = this.#deps
    if (master) mirror.note(idKey(id), { value: key, lease: '0', modified: revision })
    mirror.note(userKey(key, node.ipv4), { value: String(id), lease, modified: revision })
  }

  /** Numbers that are none were written by somebody else. */
  #masters(): { id: number; entry: Entry }[] {
    return this.#deps.mirror.under(prefixes.id).map(([rest, entry]) => ({ id: Number(rest), entry })).filter(({ id }) => Number.isInteger(id) && id >= firstAllocated && id <= lastAllocated)
  }

  #isClaimed(key: string): boolean {
    const until = this.#claims.get(key)
    if (until !== undefined && until > this.#now()) return true
    this.#claims.delete(key)
    return false
  }

  #now(): number { return (this.#deps.now ?? (() => performance.now()))() }
}
