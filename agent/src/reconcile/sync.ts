import { hostAddresses, desiredTunnels, type LocalNode } from '../cluster/node.ts'
import { desiredIPCache } from '../cluster/ipcache.ts'
import type { Stores } from '../cluster/stores.ts'
import type { Datapath, ServiceSpec } from '../datapath/types.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { EndpointManager } from '../endpoint/manager.ts'
import { podInfo } from '../endpoint/podinfo.ts'
import { publishEndpoints } from '../endpoint/publish.ts'
import { knownIdentities, type IdentityAllocator } from '../identity/allocator.ts'
import { labelsHash } from '../identity/labels.ts'
import type { KubeClient } from '../k8s/client.ts'
import type { Logger } from '../log.ts'
import type { MonitorHub } from '../monitor/hub.ts'
import type { PolicyRepository } from '../policy/repository.ts'
import { resolvePolicy, type EnforcementMode } from '../policy/resolve.ts'
import { podKey } from '../endpoint/endpoint.ts'
import { desiredServices, frontendKey, ServiceIds } from '../service/translate.ts'
import { Controller } from './controller.ts'
import { applyDiff } from './diff.ts'

export interface SyncDeps {
  self: LocalNode; stores: Stores; datapath: Datapath; endpoints: EndpointManager; allocator: IdentityAllocator; policies: PolicyRepository
  monitor: MonitorHub; client: KubeClient; log: Logger; enforcement: () => EnforcementMode
}
export interface Controllers { ipcache: Controller; tunnels: Controller; services: Controller; identities: Controller; policy: Controller; publish: Controller }

/** One controller for each part of the datapath, fed by the stores it depends on. What the maps hold at the start counts as realized. */
export function createControllers(deps: SyncDeps): Controllers {
  const { stores, endpoints, log } = deps
  const controllers: Controllers = {
    ipcache: new Controller('ipcache-sync', ipcacheSync(deps), log),
    tunnels: new Controller('tunnel-sync', tunnelSync(deps), log),
    services: new Controller('service-sync', serviceSync(deps), log),
    identities: new Controller('resolve-identity', () => identitySync(deps), log),
    policy: new Controller('policy-sync', policySync(deps), log),
    publish: new Controller('sync-to-k8s-ciliumendpoint', () => publishEndpoints({ client: deps.client, published: stores.ciliumEndpoints, endpoints: endpoints.list(), nodeIPv4: deps.self.ipv4 }), log),
  }
  const { ipcache, tunnels, services, identities, policy, publish } = controllers
  stores.nodes.onChange(() => { ipcache.trigger(); tunnels.trigger() })
  stores.services.onChange(() => services.trigger())
  stores.endpoints.onChange(() => services.trigger())
  stores.namespaces.onChange(() => policy.trigger())
  stores.networkPolicies.onChange(() => policy.trigger())
  stores.ciliumPolicies.onChange(() => policy.trigger())
  stores.pods.onChange(() => { identities.trigger(); policy.trigger() })
  stores.identities.onChange(() => { identities.trigger(); policy.trigger() })
  stores.ciliumEndpoints.onChange(() => { ipcache.trigger(); publish.trigger(); policy.trigger() })
  endpoints.onChange(() => { ipcache.trigger(); publish.trigger(); policy.trigger() })
  return controllers
}

function ipcacheSync({ self, stores, datapath, endpoints }: SyncDeps): () => void {
  const have = new Map(datapath.listIPCache().map((entry) => [entry.ip, entry]))
  return () => {
    const want = desiredIPCache({ self, hostAddresses: hostAddresses(), nodes: stores.nodes.list(), ciliumEndpoints: stores.ciliumEndpoints.list(), local: endpoints.list().map(({ record }) => record) })
    applyDiff(have, want, {
      upsert: ({ ip, identity, node }) => datapath.upsertIPCache(ip, node === undefined ? { identity } : { identity, node }),
      remove: ({ ip }) => datapath.deleteIPCache(ip),
    })
  }
}

function tunnelSync({ self, stores, datapath }: SyncDeps): () => void {
  const have = new Map(datapath.listTunnels().map((entry) => [entry.prefix, entry]))
  return () => {
    applyDiff(have, desiredTunnels(stores.nodes.list(), self.name), { upsert: (entry) => datapath.upsertTunnel(entry), remove: ({ prefix }) => datapath.deleteTunnel(prefix) })
  }
}

function serviceSync({ stores, datapath }: SyncDeps): () => void {
  const have = new Map<string, ServiceSpec>(datapath.listServices().map((service) => [frontendKey(service.frontend), service]))
  const ids = new ServiceIds([...have].map(([key, { id }]) => [key, id]))
  return () => {
    applyDiff(have, desiredServices(stores.services.list(), stores.endpoints.list(), ids), {
      upsert: (service) => datapath.upsertService(service), remove: ({ frontend }) => datapath.deleteService(frontend),
    })
  }
}

/** Follows label changes of pods, and gives an endpoint the identity its labels have in the cluster. */
async function identitySync({ stores, endpoints, allocator }: SyncDeps): Promise<void> {
  for (const endpoint of endpoints.list()) {
    const pod = stores.pods.get(podKey(endpoint.record))
    if (pod === undefined || endpoint.policyRevision === 0) continue
    const info = podInfo(pod)
    if (endpoint.record.pod.uid !== undefined && info.uid !== endpoint.record.pod.uid) continue
    endpoints.setPod(endpoint, info)
    const known = allocator.lookup(info.labels)
    if (known === endpoint.record.identity && endpoint.record.labels.join() === info.labels.join()) continue
    endpoints.setIdentity(endpoint, known ?? await allocator.allocate(info.labels), info.labels)
  }
}

/** Works every endpoint's policy out anew and puts what differs into the datapath. */
function policySync(deps: SyncDeps): () => void {
  const { stores, policies, monitor, endpoints } = deps
  return () => {
    const events = policies.update(stores.networkPolicies.list(), stores.ciliumPolicies.list())
    for (const event of events) monitor.agentEvent(event.subtype, event.message)
    for (const endpoint of endpoints.list()) {
      if (endpoint.state === 'creating' || endpoint.state === 'waiting-for-identity') continue
      applyPolicy(deps, endpoint, events.length > 0 ? 'policy rules changed' : 'one or more identities created or deleted')
    }
  }
}

/** Brings one endpoint's policy to the rules' present revision; tells the monitor when the endpoint changed or the revision is new to it. */
export function applyPolicy(deps: SyncDeps, endpoint: Endpoint, reason: string): void {
  const { stores, policies, monitor, endpoints, enforcement } = deps
  const ips = () => desiredIPCache({ self: deps.self, hostAddresses: hostAddresses(), nodes: stores.nodes.list(), ciliumEndpoints: stores.ciliumEndpoints.list(), local: endpoints.list().map(({ record }) => record) })
  const { labels, namedPorts } = endpoint.record
  const resolved = resolvePolicy({ labels, namedPorts: new Map(Object.entries(namedPorts)) }, {
    rules: policies.rules, identities: knownIdentities(stores.identities), mode: enforcement(),
    namespaceLabels: (name) => stores.namespaces.get(name)?.metadata.labels, identityOfIP: (ip) => ips().get(ip)?.identity,
  })
  const before = endpoint.policyRevision
  const changed = endpoints.setPolicy(endpoint, resolved, policies.revision, reason)
  if (changed || before !== policies.revision) monitor.agentEvent('Endpoint regenerated', { id: endpoint.id, labels: [...labels] })
}

/** For status and lists. */
export const identityEntry = (id: number, labels: readonly string[]) => ({ id, labels: [...labels], labelsSHA256: labelsHash(labels) })
