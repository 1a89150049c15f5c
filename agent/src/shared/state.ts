import type { State } from '../api/models.ts'
import type { IPCacheEntry } from '../cluster/ipcache.ts'
import type { EndpointManager } from '../endpoint/manager.ts'
import type { Labels } from '../identity/labels.ts'
import type { Controller } from '../reconcile/controller.ts'

/** What agents tell each other of identities and addresses, wherever it is kept: in Kubernetes (kubernetes.ts), or in etcd (kvstore/state.ts). */
export interface SharedState {
  /** All known identities: reserved ones and those of the cluster, by number. */
  identities(): ReadonlyMap<number, Labels>
  /** The identity these labels have as far as is known here; not one that may be about to go: that must be allocated. */
  lookup(labels: Labels): number | undefined
  /** The one identity that these labels have in the cluster, and keep while an endpoint here has it. */
  allocate(labels: Labels): Promise<number>
  /** Addresses of other nodes' endpoints; of one address the last counts. */
  addresses(): (IPCacheEntry & { node: string })[]
  onIdentities(listener: () => void): void
  onAddresses(listener: () => void): void
  /** What keeps that true which is told of this node's endpoints. */
  controllers(endpoints: Pick<EndpointManager, 'list' | 'onChange'>): Controller[]
  /** One look for identities that no endpoint has any more. Returns how many went. */
  collect(): Promise<number>
  /** `KVStore:` of `cilium status`. */
  status(): State
}
