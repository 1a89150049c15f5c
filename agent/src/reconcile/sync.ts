import { desiredTunnels, hostAddresses, nodePortAddresses, type LocalNode } from '../cluster/node.ts'
import { desiredIPCache } from '../cluster/ipcache.ts'
import type { Stores } from '../cluster/stores.ts'
import type { Datapath, ServiceSpec } from '../datapath/types.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { EndpointManager } from '../endpoint/manager.ts'
import { podInfo } from '../endpoint/podinfo.ts'
import { publishEndpoints } from '../endpoint/publish.ts'
import type { CIDRIdentities } from '../identity/cidr.ts'
import type { KubeClient } from '../k8s/client.ts'
import type { Logger } from '../log.ts'
import type { MonitorHub } from '../monitor/hub.ts'
import type { NamePoller } from '../policy/names.ts'
import type { PolicyRepository } from '../policy/repository.ts'
import { prefixesOf, resolvePolicy, type EnforcementMode, type World } from '../policy/resolve.ts'
import type { Rule } from '../policy/rule.ts'
import { matches } from '../policy/selector.ts'
import { publishPolicyStatus } from '../policy/status.ts'
import { podKey } from '../endpoint/endpoint.ts'
import type { ManualServices } from '../service/manual.ts'
import type { SharedState } from '../shared/state.ts'
import { serviceAddresses } from '../service/reference.ts'
import { desiredServices, ServiceIds } from '../service/translate.ts'
import { Controller } from './controller.ts'
import { applyDiff } from './diff.ts'
import { Problems } from './problems.ts'

export interface SyncDeps {
  self: LocalNode; stores: Stores; datapath: Datapath; endpoints: EndpointManager; shared: SharedState; cidrs: CIDRIdentities; policies: PolicyRepository
  manual: ManualServices; /** What the datapath has, by frontend. */ services: Map<string, ServiceSpec>; names: NamePoller; monitor: MonitorHub; client: KubeClient; log: Logger; enforcement: () => EnforcementMode
}
export interface Controllers { ipcache: Controller; tunnels: Controller; services: Controller; identities: Controller; policy: Controller; publish: Controller; policyStatus: Controller }

/** One controller for each part of the datapath, fed by the stores it depends on. What the maps hold at the start counts as realized. */
export function createControllers(deps: SyncDeps): Controllers {
  const { stores, endpoints, shared, log } = deps
  const controllers: Controllers = {
    ipcache: new Controller('ipcache-sync', ipcacheSync(deps), log, 'datapath'),
    tunnels: new Controller('tunnel-sync', tunnelSync(deps), log, 'datapath'),
    services: new Controller('service-sync', serviceSync(deps), log, 'datapath'),
    identities: new Controller('resolve-identity', () => identitySync(deps), log),
    policy: new Controller('policy-sync', policySync(deps), log, 'datapath'),
    publish: new Controller('sync-to-k8s-ciliumendpoint', () => publishEndpoints({ client: deps.client, published: stores.ciliumEndpoints, endpoints: endpoints.list(), nodeIPv4: deps.self.ipv4 }), log),
    policyStatus: new Controller('sync-cnp-policy-status', () => publishPolicyStatus({ client: deps.client, node: deps.self.name, policies: deps.policies, objects: stores.ciliumPolicies.list(), refusal: (rules) => refusalOf(deps, rules, controllers.policy.failures) }), log),
  }
  const { ipcache, tunnels, services, identities, policy, publish, policyStatus } = controllers
  stores.nodes.onChange(() => { ipcache.trigger(); tunnels.trigger(); services.trigger() })
  // Rules may name services; Endpoints change often, and hardly any rule does.
  const servicesChanged = () => { services.trigger(); if (deps.policies.rules.some(namesServices)) policy.trigger() }
  stores.services.onChange(servicesChanged)
  stores.endpoints.onChange(servicesChanged)
  stores.slices.onChange(servicesChanged)
  stores.namespaces.onChange(() => policy.trigger())
  stores.networkPolicies.onChange(() => policy.trigger())
  stores.ciliumPolicies.onChange(() => { policy.trigger(); policyStatus.trigger() })
  policy.onRun(() => policyStatus.trigger())
  stores.pods.onChange(() => { identities.trigger(); policy.trigger() })
  shared.onIdentities(() => { identities.trigger(); policy.trigger() })
  shared.onAddresses(() => ipcache.trigger())
  stores.ciliumEndpoints.onChange(() => { publish.trigger(); policy.trigger() })
  endpoints.onChange(() => { ipcache.trigger(); publish.trigger(); policy.trigger() })
  return controllers
}

function ipcacheSync({ self, stores, datapath, endpoints, shared }: SyncDeps): () => void {
  const have = new Map(datapath.listIPCache().map((entry) => [entry.ip, entry]))
  return () => {
    const want = desiredIPCache({ self, hostAddresses: hostAddresses(self), nodes: stores.nodes.list(), remote: shared.addresses(), local: endpoints.list().map(({ record }) => record) })
    applyDiff(have, want, {
      upsert: ({ ip, identity, node }) => datapath.upsertIPCache(ip, node === undefined ? { identity } : { identity, node }),
      remove: ({ ip }) => datapath.deleteIPCache(ip),
    })
  }
}

function tunnelSync({ self, stores, datapath }: SyncDeps): () => void {
  const have = new Map(datapath.listTunnels().map((entry) => [entry.prefix, entry]))
  return () => {
    applyDiff(have, desiredTunnels(stores.nodes.list(), self), { upsert: (entry) => datapath.upsertTunnel(entry), remove: ({ prefix }) => datapath.deleteTunnel(prefix) })
  }
}

function serviceSync({ self, stores, datapath, manual, services: have }: SyncDeps): () => void {
  const ids = new ServiceIds([...have].map(([key, { id }]) => [key, id]))
  return () => {
    const nodes = nodePortAddresses(stores.nodes.list(), self)
    const cluster = { services: stores.services.list(), endpoints: stores.endpoints.list(), slices: stores.slices.list(), nodes }
    applyDiff(have, desiredServices(cluster, manual.list(), ids, self.ipv6 !== undefined), {
      upsert: (service) => datapath.upsertService(service), remove: ({ frontend }) => datapath.deleteService(frontend),
    })
  }
}

/** Follows label changes of pods, and gives an endpoint the identity its labels have in the cluster. */
async function identitySync({ stores, endpoints, shared }: SyncDeps): Promise<void> {
  const problems = new Problems()
  for (const endpoint of endpoints.list()) {
    const pod = stores.pods.get(podKey(endpoint.record))
    if (pod === undefined || endpoint.policyRevision === 0) continue
    const info = podInfo(pod)
    if (endpoint.record.pod.uid !== undefined && info.uid !== endpoint.record.pod.uid) continue
    endpoints.setPod(endpoint, info)
    // One that bears the collector's mark is taken anew: `lookup` does not know it.
    const known = shared.lookup(info.labels)
    if (known === endpoint.record.identity && endpoint.record.labels.join() === info.labels.join()) continue
    try { endpoints.setIdentity(endpoint, known ?? await shared.allocate(info.labels), info.labels) } catch (error) { problems.add(nameOf(endpoint), error) }
  }
  problems.end()
}

/** Under which its problems are. */
export const nameOf = ({ id }: Endpoint): string => `endpoint ${id}`

/**
 * Works every endpoint's policy out anew and puts what differs into the datapath. Prefixes that rules name anew first get an identity that the rules
 * before say the same of as of the addresses around it; only then are they put into the datapath, and only then do the new rules count. Prefixes that
 * no rule names any more go in the reverse order. So no packet meets a rule that isn't there yet, nor a prefix that policy doesn't know. What the datapath
 * refuses, a prefix or an endpoint's policy, holds up nothing else: it is tried again with the next run.
 */
function policySync(deps: SyncDeps): () => void {
  const { stores, policies, monitor, endpoints, cidrs, datapath } = deps
  let applied: Rule[] = []
  const served = () => endpoints.list().filter(({ state }) => state !== 'creating' && state !== 'waiting-for-identity')
  const keep = (rules: Rule[], reason: string, problems: Problems) => {
    const world = worldOf(deps, rules)
    for (const endpoint of served()) if (endpoint.policyRevision > 0) problems.try(nameOf(endpoint), () => setPolicy(deps, endpoint, world, endpoint.policyRevision, reason))
  }
  return () => {
    const problems = new Problems()
    const events = policies.update(stores.networkPolicies.list(), stores.ciliumPolicies.list())
    for (const event of events) monitor.agentEvent(event.subtype, event.message)
    const { rules } = policies
    deps.names.watch(new Set(rules.flatMap(namesIn)))
    const wanted = prefixesOf(endpoints.list().map(({ record }) => record.labels), worldOf(deps, rules))
    const fresh = [...wanted].filter((prefix) => !cidrs.has(prefix))
    for (const prefix of fresh) cidrs.of(prefix)
    if (fresh.length > 0) keep(applied, 'prefixes are named', problems)
    for (const prefix of wanted) if (cidrs.absent.has(prefix)) problems.try(prefix, () => { datapath.upsertCIDR(prefix, cidrs.of(prefix)); cidrs.realize(prefix) })
    const world = worldOf(deps, rules)
    const reason = events.length > 0 ? 'policy rules changed' : 'one or more identities created or deleted'
    for (const endpoint of served()) problems.try(nameOf(endpoint), () => applyPolicy(deps, endpoint, endpoint.state === 'not-ready' ? 'its last regeneration failed' : reason, world))
    applied = rules
    const stale = [...cidrs.prefixes.values()].filter((prefix) => !wanted.has(prefix))
    for (const prefix of stale) problems.try(prefix, () => { datapath.deleteCIDR(prefix); cidrs.forget(prefix) })
    if (stale.length > 0) keep(rules, 'prefixes are named no more', problems)
    problems.end()
  }
}

/** What the datapath refuses of these rules: a prefix that they name, or a policy that they are part of. */
function refusalOf(deps: SyncDeps, rules: Rule[], failures: ReadonlyMap<string, string>): string | undefined {
  if (failures.size === 0) return undefined
  const world = worldOf(deps, rules), endpoints = deps.endpoints.list()
  const selected = endpoints.filter(({ record }) => rules.some((rule) => matches(rule.endpointSelector, record.labels, world.namespaceLabels)))
  const items = [...prefixesOf(endpoints.map(({ record }) => record.labels), world), ...selected.map(nameOf)]
  const refused = items.find((item) => failures.has(item))
  return refused === undefined ? undefined : `${refused}: ${failures.get(refused)!}`
}

const namesIn = ({ egress = [] }: Rule): string[] => egress.flatMap(({ toFQDNs = [] }) => toFQDNs.map(({ matchName }) => matchName))
const namesServices = ({ egress = [] }: Rule): boolean => egress.some(({ toServices }) => toServices !== undefined)

/** What rules are resolved against, as this node knows it now. */
export function worldOf({ stores, shared, cidrs, enforcement, endpoints, names }: SyncDeps, rules: Rule[]): World {
  const ports = lazy(() => namedPortsByIdentity(stores, endpoints))
  return {
    rules, identities: shared.identities(), cidrs: cidrs.prefixes, absent: cidrs.absent, mode: enforcement(),
    namespaceLabels: (name) => stores.namespaces.get(name)?.metadata.labels,
    serviceAddresses: (reference) => serviceAddresses(reference, { services: stores.services.list(), endpoints: stores.endpoints.list(), slices: stores.slices.list() }),
    nameAddresses: (name) => names.addresses(name),
    namedPorts: (identity) => ports().get(identity) ?? new Map(),
  }
}

function lazy<T>(make: () => T): () => T {
  let made: { value: T } | undefined
  return () => (made ??= { value: make() }).value
}

/** From this node's endpoints and what other nodes publish of theirs. */
function namedPortsByIdentity(stores: Stores, endpoints: EndpointManager): Map<number, Map<string, number[]>> {
  const found = new Map<number, Map<string, number[]>>()
  const add = (identity: number, key: string, port: number) => {
    const ports = found.get(identity) ?? new Map<string, number[]>()
    found.set(identity, ports.set(key, [...new Set([...(ports.get(key) ?? []), port])]))
  }
  for (const { record } of endpoints.list()) for (const [key, port] of Object.entries(record.namedPorts)) add(record.identity, key, port)
  for (const { status } of stores.ciliumEndpoints.list()) {
    for (const { name, port, protocol } of status?.['named-ports'] ?? []) if (status?.identity !== undefined) add(status.identity.id, `${name}/${protocol}`, port)
  }
  return found
}

/** Brings one endpoint's policy to the rules' present revision; tells the monitor when the endpoint changed or the revision is new to it. `world`: of the present rules. */
export function applyPolicy(deps: SyncDeps, endpoint: Endpoint, reason: string, world = worldOf(deps, deps.policies.rules)): void {
  const before = endpoint.policyRevision
  const changed = setPolicy(deps, endpoint, world, deps.policies.revision, reason)
  if (changed || before !== deps.policies.revision) deps.monitor.regenerated(endpoint)
}

function setPolicy({ endpoints, monitor }: SyncDeps, endpoint: Endpoint, world: World, revision: number, reason: string): boolean {
  const { labels, namedPorts } = endpoint.record
  try {
    return endpoints.setPolicy(endpoint, resolvePolicy({ labels, namedPorts: new Map(Object.entries(namedPorts)) }, world), revision, reason)
  } catch (error) {
    monitor.regenerated(endpoint, error)
    throw error
  }
}
