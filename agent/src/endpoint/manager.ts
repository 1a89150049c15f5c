import { createHash, randomInt } from 'node:crypto'
import { podIPv6 } from '../cluster/ipv6.ts'
import type { LocalNode } from '../cluster/node.ts'
import type { Datapath, PolicyAllow } from '../datapath/types.ts'
import { hasFault } from '../fault.ts'
import type { Labels } from '../identity/labels.ts'
import type { EndpointOptions } from '../monitor/options.ts'
import { reserved } from '../identity/reserved.ts'
import { messageOf, type Logger } from '../log.ts'
import type { ResolvedPolicy } from '../policy/resolve.ts'
import { Endpoint, podKey, type EndpointRecord } from './endpoint.ts'
import type { IPAM } from './ipam.ts'
import type { StateDir } from './statedir.ts'

/** Who decides on requests where a policy asks for that. */
export interface Redirector {
  /** A policy as the datapath is to have it. What can't be redirected is left out of it; `refused` says what, and why. */
  apply(endpoint: number, policy: ResolvedPolicy): { ingress?: PolicyAllow[]; egress?: PolicyAllow[]; refused?: string }
  /** The datapath has it, as far as it takes it. */
  settle(endpoint: number): void
  remove(endpoint: number): void
}

export interface NewEndpoint { containerId: string; netns: string; containerInterface: string; pod: EndpointRecord['pod'] }

/** Owns the endpoints of this node: makes, keeps and removes them in the datapath, and writes down what a restart needs. */
export class EndpointManager {
  readonly #endpoints = new Map<number, Endpoint>()
  readonly #listeners = new Set<() => void>()
  readonly #datapath: Datapath
  readonly #ipam: IPAM
  readonly #state: StateDir
  readonly #log: Logger
  readonly #self: Pick<LocalNode, 'podCIDR' | 'ipv6'>
  /** How many so far. */
  readonly regenerations = { success: 0, fail: 0 }
  readonly #proxy: Redirector

  constructor(deps: { datapath: Datapath; ipam: IPAM; self: Pick<LocalNode, 'podCIDR' | 'ipv6'>; state: StateDir; log: Logger; proxy: Redirector }) {
    this.#self = deps.self
    this.#datapath = deps.datapath
    this.#ipam = deps.ipam
    this.#state = deps.state
    this.#log = deps.log
    this.#proxy = deps.proxy
  }

  list(): Endpoint[] { return [...this.#endpoints.values()].sort((a, b) => a.id - b.id) }
  get(id: number): Endpoint | undefined { return this.#endpoints.get(id) }
  byContainer(containerId: string): Endpoint | undefined { return this.list().find(({ record }) => record.containerId === containerId) }
  byPod(key: string): Endpoint[] { return this.list().filter(({ record }) => podKey(record) === key) }
  onChange(listener: () => void): void { this.#listeners.add(listener) }

  /** Takes back what an agent before left. Identity and policy stay as they are in the datapath until they have been worked out anew. */
  restore(): void {
    for (const record of this.#state.load().map((it) => this.#withPresentIPv6(it))) {
      const link = this.#datapath.adoptEndpoint({ ...interfaces(record), ...addresses(record), identity: record.identity })
      if (link === undefined || !this.#ipam.claim(record.ipv4)) {
        const reason = link === undefined ? 'its interface is gone' : `its address ${record.ipv4} is not free in this node's pod CIDR`
        this.#log.info(`Removing endpoint left by an earlier agent: ${reason}`, { endpointID: record.id, pod: podKey(record) })
        this.#datapath.removeEndpoint(record.id)
        this.#state.remove(record.id)
        continue
      }
      const endpoint = new Endpoint(record, 'restoring', 'Restoring endpoint from previous cilium instance')
      endpoint.link = link
      if (hasFault('restart-forgets-policy')) this.#datapath.setPolicy(record.id, {})
      this.#endpoints.set(record.id, endpoint)
      this.#log.info('Restored endpoint', { endpointID: record.id, ipv4: record.ipv4, identity: record.identity, pod: podKey(record) })
    }
    this.#changed()
  }

  /** Makes the interface pair, with identity init: it may talk to nobody that asks for an identity until it has one. */
  create({ containerId, netns, containerInterface, pod }: NewEndpoint): Endpoint {
    const ipv4 = this.#ipam.allocate()
    const ipv6 = this.#ipv6Of(ipv4)
    const record: EndpointRecord = {
      id: this.#freeId(), containerId, netns, containerInterface, hostInterface: hostInterfaceOf(containerId), ipv4, ...(ipv6 === undefined ? {} : { ipv6 }), pod,
      labels: ['reserved:init'], identity: reserved.init, namedPorts: {},
    }
    const endpoint = new Endpoint(record, 'creating', 'Endpoint creation')
    try {
      endpoint.link = this.#datapath.addEndpoint({ id: record.id, netns, containerInterface, hostInterface: record.hostInterface, ...addresses(record), identity: reserved.init })
    } catch (error) {
      this.#ipam.release(record.ipv4)
      throw error
    }
    this.#endpoints.set(record.id, endpoint)
    this.#state.save(record)
    endpoint.enter('waiting-for-identity', 'Endpoint creation')
    this.#log.info('New endpoint', { endpointID: record.id, ...addresses(record), containerID: containerId.slice(0, 12), pod: podKey(record) })
    this.#changed()
    return endpoint
  }

  setIdentity(endpoint: Endpoint, identity: number, labels: Labels): void {
    if (endpoint.record.identity === identity && endpoint.record.labels.join() === labels.join()) return
    this.#datapath.setEndpointIdentity(endpoint.id, identity)
    endpoint.record = { ...endpoint.record, identity, labels }
    this.#state.save(endpoint.record)
    endpoint.enter(endpoint.state, 'Set identity for this endpoint')
    this.#log.info('Identity of endpoint changed', { endpointID: endpoint.id, identity, identityLabels: labels.join(',') })
    this.#changed()
  }

  setOptions(endpoint: Endpoint, options: EndpointOptions): void {
    endpoint.record = { ...endpoint.record, options: { ...endpoint.record.options, ...options } }
    this.#state.save(endpoint.record)
  }

  setPod(endpoint: Endpoint, pod: { uid?: string | undefined; namedPorts: Record<string, number> }): void {
    const { record } = endpoint
    if (record.pod.uid === pod.uid && JSON.stringify(record.namedPorts) === JSON.stringify(pod.namedPorts)) return
    endpoint.record = { ...record, pod: { ...record.pod, uid: pod.uid }, namedPorts: pod.namedPorts }
    this.#state.save(endpoint.record)
  }

  /**
   * Returns whether the datapath had to change. Throws when that doesn't take all of it: what is revoked is revoked then, what is enforced is enforced, and the endpoint is not-ready until
   * the next call succeeds.
   */
  setPolicy(endpoint: Endpoint, policy: ResolvedPolicy, revision: number, reason: string): boolean {
    const first = endpoint.policyRevision === 0
    const same = !first && endpoint.state !== 'not-ready' && JSON.stringify(endpoint.policy) === JSON.stringify(policy)
    endpoint.policy = policy
    if (same) endpoint.policyRevision = revision
    else this.#regenerate(endpoint, reason, () => {
      if (hasFault('update-opens-window') && !first) this.#openWindow(endpoint, policy)
      else this.#enforce(endpoint.id, policy)
      endpoint.policyRevision = revision
    })
    return !same
  }

  /** Puts an endpoint's entry, program and policy into the datapath anew. Throws when its interface is gone. */
  regenerate(endpoint: Endpoint, reason: string): void {
    const { id, hostInterface, identity } = endpoint.record
    this.#regenerate(endpoint, reason, () => {
      const link = this.#datapath.adoptEndpoint({ ...interfaces(endpoint.record), ...addresses(endpoint.record), identity })
      if (link === undefined) throw new Error(`its interface ${hostInterface} is gone: delete its pod, so that another is made`)
      endpoint.link = link
      this.#enforce(id, endpoint.policy)
    })
  }

  /** With the states and words of Cilium's endpoint log. Throws what `run` throws. */
  #regenerate(endpoint: Endpoint, reason: string, run: () => void): void {
    const before = endpoint.state
    endpoint.enter('waiting-to-regenerate', `Triggering endpoint regeneration due to ${reason}`)
    endpoint.enter('regenerating', `Regenerating Endpoint BPF: ${reason}`)
    try {
      run()
    } catch (error) {
      this.regenerations.fail++
      endpoint.enter('not-ready', `Error regenerating endpoint: ${messageOf(error)}`, 'Failure')
      // Listeners begin the next try; after a second failure the controller's pause decides when that is.
      if (before !== 'not-ready') this.#changed()
      throw error
    }
    this.regenerations.success++
    endpoint.enter('ready', 'Completed endpoint regeneration with no pending regeneration requests')
    endpoint.enter('ready', `Successfully regenerated endpoint program due to ${reason}`)
    this.#changed()
  }

  /** As far as that goes, then throws what doesn't. */
  #enforce(id: number, policy: ResolvedPolicy): void {
    const { refused, ...direct } = this.#proxy.apply(id, policy)
    try { this.#datapath.setPolicy(id, direct) } finally { this.#proxy.settle(id) }
    if (refused !== undefined) throw new Error(refused)
  }

  /** A seeded fault. */
  #openWindow(endpoint: Endpoint, policy: ResolvedPolicy): void {
    this.#datapath.setPolicy(endpoint.id, {})
    setTimeout(() => { if (this.#endpoints.get(endpoint.id) === endpoint && endpoint.policy === policy) this.#enforce(endpoint.id, policy) }, 400)
  }

  remove(endpoint: Endpoint, reason: string): void {
    if (!this.#endpoints.has(endpoint.id)) return
    endpoint.enter('disconnecting', reason)
    this.#datapath.removeEndpoint(endpoint.id)
    this.#proxy.remove(endpoint.id)
    this.#endpoints.delete(endpoint.id)
    this.#ipam.release(endpoint.record.ipv4)
    this.#state.remove(endpoint.id)
    this.#log.info('Removed endpoint', { endpointID: endpoint.id, ipv4: endpoint.record.ipv4, pod: podKey(endpoint.record), reason })
    this.#changed()
  }

  #ipv6Of(ipv4: string): string | undefined {
    const { podCIDR, ipv6 } = this.#self
    return ipv6 === undefined ? undefined : podIPv6(ipv6.clusterCIDR, podCIDR, ipv4)
  }

  /** A pod keeps the addresses that it was made with. One that is no longer this node's is as good as none. */
  #withPresentIPv6({ ipv6, ...record }: EndpointRecord): EndpointRecord {
    return ipv6 !== undefined && ipv6 === this.#ipv6Of(record.ipv4) ? { ...record, ipv6 } : record
  }

  #freeId(): number {
    for (;;) {
      const id = randomInt(1, 65_536)
      if (!this.#endpoints.has(id)) return id
    }
  }

  #changed(): void {
    for (const listener of this.#listeners) listener()
  }
}

const interfaces = ({ id, netns, containerInterface, hostInterface }: EndpointRecord) => ({ id, netns, containerInterface, hostInterface })
const addresses = ({ ipv4, ipv6 }: EndpointRecord): { ipv4: string; ipv6?: string } => ({ ipv4, ...(ipv6 === undefined ? {} : { ipv6 }) })

/** Interface names have at most 15 characters. */
const hostInterfaceOf = (containerId: string): string => `lxc${createHash('sha256').update(containerId).digest('hex').slice(0, 12)}`
