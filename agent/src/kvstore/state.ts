import type { State } from '../api/models.ts'
import type { IPCacheEntry } from '../cluster/ipcache.ts'
import type { EndpointRecord } from '../endpoint/endpoint.ts'
import type { EndpointManager } from '../endpoint/manager.ts'
import type { Labels } from '../identity/labels.ts'
import { firstAllocated, lastAllocated, reserved } from '../identity/reserved.ts'
import type { Logger } from '../log.ts'
import { Controller } from '../reconcile/controller.ts'
import type { SharedState } from '../shared/state.ts'
import { sleep } from '../sleep.ts'
import { Kvstore } from './client.ts'
import { parseKvstoreOptions, readEtcdConfig } from './config.ts'
import { KvstoreIdentities } from './identities.ts'
import { encodeLabels, ipKey, pairOf, parsePair, prefixes } from './layout.ts'
import { NodeLease } from './lease.ts'
import { Mirror } from './mirror.ts'
import { EtcdStatus } from './status.ts'

/** etcd, and what of it is copied here. */
export interface Etcd { store: Kvstore; mirror: Mirror; lease: NodeLease; status: EtcdStatus; stopped: AbortSignal; stop: () => Promise<void> }

/** Begins to follow etcd; it need not be there yet. Throws for what it is to be reached by: a file that is missing or wrong. */
export async function openEtcd({ options, leaseTtl, log }: { options: string; /** Seconds. */ leaseTtl: number; log: Logger }): Promise<Etcd> {
  const config = readEtcdConfig(parseKvstoreOptions(options))
  log.info('Connecting to etcd', { endpoints: config.endpoints.join(',') })
  const store = await Kvstore.open(config)
  const mirror = new Mirror(store, prefixes.all, log)
  const status = new EtcdStatus(store, mirror)
  const running = [mirror.run(), status.run()]
  const stopping = new AbortController()
  const stop = async (): Promise<void> => {
    stopping.abort()
    mirror.stop()
    status.stop()
    // A request that nobody answers is not waited for.
    await Promise.race([Promise.all(running), sleep(1_000, new AbortController().signal)])
    store.close()
  }
  return { store, mirror, lease: new NodeLease(store, leaseTtl), status, stopped: stopping.signal, stop }
}

export interface EtcdStateDeps { etcd: Etcd; node: { name: string; ipv4: string }; log: Logger; /** How long an identity must be unused before it goes. */ graceMs: number }

/** Identities and addresses in etcd, as Cilium 1.2 has them there. */
export class EtcdState implements SharedState {
  readonly #etcd: Etcd
  readonly #node: EtcdStateDeps['node']
  readonly #identities: KvstoreIdentities
  readonly #graceMs: number
  readonly #log: Logger

  constructor({ etcd, node, log, graceMs }: EtcdStateDeps) {
    this.#etcd = etcd
    this.#node = node
    this.#graceMs = graceMs
    this.#log = log
    this.#identities = new KvstoreIdentities({ store: etcd.store, mirror: etcd.mirror, lease: etcd.lease, node, log })
  }

  identities(): ReadonlyMap<number, Labels> { return this.#identities.all() }
  lookup(labels: Labels): number | undefined { return this.#identities.lookup(labels) }
  allocate(labels: Labels): Promise<number> { return this.#identities.allocate(labels) }
  collect(): Promise<number> { return this.#identities.collect(this.#graceMs) }
  onIdentities(listener: () => void): void { this.#etcd.mirror.onChange(listener) }
  onAddresses(listener: () => void): void { this.#etcd.mirror.onChange(listener) }
  status(): State { return this.#etcd.status.model() }

  addresses(): (IPCacheEntry & { node: string })[] {
    return this.#etcd.mirror.under(prefixes.ip).flatMap(([, { value }]) => {
      const pair = parsePair(value)
      return pair === undefined || pair.node === this.#node.ipv4 ? [] : [pair]
    })
  }

  /** Brings what is told of this node's endpoints to what they are. One that has no identity yet is not told of. */
  async publish(endpoints: readonly EndpointRecord[]): Promise<void> {
    await this.#publishAddresses(endpoints.filter(({ identity }) => identity !== reserved.init))
    await this.#identities.publish(new Map(endpoints.filter(({ identity }) => identity >= firstAllocated && identity <= lastAllocated).map(({ labels, identity }) => [encodeLabels(labels), identity])))
  }

  controllers(endpoints: Pick<EndpointManager, 'list' | 'onChange'>): Controller[] {
    const { mirror, lease, stopped } = this.#etcd
    const publish = new Controller('sync-endpoints-to-kvstore', () => this.publish(endpoints.list().map(({ record }) => record)), this.#log)
    const renew = new Controller('kvstore-lease', async () => { if (!await lease.renew()) publish.trigger() }, this.#log)
    const timer = setInterval(() => renew.trigger(), lease.renewMs)
    stopped.addEventListener('abort', () => clearInterval(timer), { once: true })
    endpoints.onChange(() => publish.trigger())
    // Keys of this node that somebody else took away are put back.
    mirror.onChange(() => publish.trigger())
    mirror.onTurn(() => { if (mirror.error === undefined) { renew.trigger(); publish.trigger() } })
    return [renew, publish]
  }

  async #publishAddresses(endpoints: readonly EndpointRecord[]): Promise<void> {
    const { store, mirror, lease } = this.#etcd
    const wanted = new Map(endpoints.flatMap((record) => [record.ipv4, record.ipv6].flatMap((ip) => (ip === undefined ? [] : [[ipKey(ip), pairOf(record, ip, this.#node)] as const]))))
    for (const [key, value] of wanted) {
      const present = mirror.get(key)
      if (present?.value === value && present.lease === lease.id) continue
      await lease.with(async (own) => mirror.note(key, { value, lease: own, modified: await store.put(key, value, own) }))
    }
    for (const [ip, { value }] of mirror.under(prefixes.ip)) {
      if (parsePair(value)?.node === this.#node.ipv4 && !wanted.has(ipKey(ip))) await store.delete(ipKey(ip))
    }
  }
}
