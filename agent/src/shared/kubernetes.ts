import type { State } from '../api/models.ts'
import type { IPCacheEntry } from '../cluster/ipcache.ts'
import { IdentityAllocator, knownIdentities } from '../identity/allocator.ts'
import { IdentityCollector } from '../identity/collector.ts'
import type { Labels } from '../identity/labels.ts'
import type { KubeClient } from '../k8s/client.ts'
import type { Informer } from '../k8s/informer.ts'
import type { CiliumEndpoint, CiliumIdentity } from '../k8s/types.ts'
import type { Logger } from '../log.ts'
import type { Controller } from '../reconcile/controller.ts'
import type { SharedState } from './state.ts'

export interface KubernetesStateDeps {
  client: KubeClient; identities: Informer<CiliumIdentity>; ciliumEndpoints: Informer<CiliumEndpoint>; log: Logger
  /** This node's own address. */
  node: string
  /** Identities of this node's endpoints, published or not. */
  own: () => number[]
  /** How long an identity must be unused before it goes. */
  graceMs: number
}

/** Identities as CiliumIdentity, addresses as CiliumEndpoint; the latter are published anyway (endpoint/publish.ts), for people too. */
export class KubernetesState implements SharedState {
  readonly #deps: KubernetesStateDeps
  readonly #allocator: IdentityAllocator
  readonly #collector: IdentityCollector

  constructor(deps: KubernetesStateDeps) {
    this.#deps = deps
    this.#allocator = new IdentityAllocator(deps.client, deps.identities)
    this.#collector = new IdentityCollector(deps)
  }

  identities(): ReadonlyMap<number, Labels> { return knownIdentities(this.#deps.identities) }
  lookup(labels: Labels): number | undefined { return this.#allocator.lookup(labels) }
  allocate(labels: Labels): Promise<number> { return this.#allocator.allocate(labels) }
  collect(): Promise<number> { return this.#collector.collect() }
  onIdentities(listener: () => void): void { this.#deps.identities.onChange(listener) }
  onAddresses(listener: () => void): void { this.#deps.ciliumEndpoints.onChange(listener) }
  controllers(): Controller[] { return [] }
  status(): State { return { state: 'Ok', msg: 'Disabled' } }

  /** Those of younger CiliumEndpoints come after those of older ones. */
  addresses(): (IPCacheEntry & { node: string })[] {
    const byAge = [...this.#deps.ciliumEndpoints.list()].sort((a, b) => ((a.metadata.creationTimestamp ?? '') < (b.metadata.creationTimestamp ?? '') ? -1 : 1))
    return byAge.flatMap(({ status }) => {
      const { identity, networking } = status ?? {}
      if (identity === undefined || networking === undefined || networking.node === this.#deps.node) return []
      return networking.addressing.flatMap(({ ipv4, ipv6 }) => [ipv4, ...(ipv6 === undefined ? [] : [ipv6])]).map((ip) => ({ ip, identity: identity.id, node: networking.node }))
    })
  }
}
