import http from 'node:http'
import { join } from 'node:path'
import { createApiServer, listenLoopback, listenUnix, type Routes } from './api/http.ts'
import { createRoutes } from './api/routes.ts'
import { startingRoutes, type Starting } from './api/starting.ts'
import { statusModel } from './api/status.ts'
import { nodeCIDR6 } from './cluster/ipv6.ts'
import { internalIP, localNode, type LocalNode } from './cluster/node.ts'
import { NodeRecord } from './cluster/noderecord.ts'
import { allStores, createStores, type Stores } from './cluster/stores.ts'
import { isOn, type AgentConfig } from './config/agent.ts'
import { ConntrackGC } from './conntrack/gc.ts'
import type { Datapath, DatapathConfig } from './datapath/types.ts'
import { CNIHandler } from './endpoint/cni.ts'
import { installCNI } from './endpoint/cniconfig.ts'
import { podKey, type Endpoint } from './endpoint/endpoint.ts'
import { IPAM } from './endpoint/ipam.ts'
import { EndpointManager } from './endpoint/manager.ts'
import type { PodInfo } from './endpoint/podinfo.ts'
import { StateDir } from './endpoint/statedir.ts'
import { CIDRIdentities } from './identity/cidr.ts'
import type { KubeClient } from './k8s/client.ts'
import { EtcdState, openEtcd, type Etcd } from './kvstore/state.ts'
import { messageOf, type Logger } from './log.ts'
import { MonitorHub } from './monitor/hub.ts'
import { MonitorOptions } from './monitor/options.ts'
import { createOperation } from './operation.ts'
import { count, L7Proxy } from './proxy/proxy.ts'
import { noStatistics } from './proxy/record.ts'
import { addressResolver, NamePoller } from './policy/names.ts'
import { PolicyRepository } from './policy/repository.ts'
import { ruleFile } from './policy/rulefile.ts'
import type { EnforcementMode } from './policy/resolve.ts'
import type { Controller } from './reconcile/controller.ts'
import { ManualServices } from './service/manual.ts'
import { frontendKey } from './service/translate.ts'
import { applyPolicy, createControllers, nameOf, worldOf, type Controllers, type SyncDeps } from './reconcile/sync.ts'
import { KubernetesState } from './shared/kubernetes.ts'
import type { SharedState } from './shared/state.ts'

export interface AgentDeps {
  config: AgentConfig; client: KubeClient; log: Logger; openDatapath: (config: DatapathConfig) => Datapath | Promise<Datapath>
  /** Finds the interface and addresses of this machine; tests run several nodes on one. */
  describeNode?: typeof localNode
}
export interface RunningAgent { datapath: Datapath; stop: () => Promise<void> }

/**
 * Starts the agent; resolves when pods can be served. Order matters: the datapath of an earlier agent goes on as it is until everything
 * has been worked out anew, so that a restart neither opens nor breaks a connection.
 */
export async function startAgent({ config, client, log, openDatapath, describeNode = localNode }: AgentDeps): Promise<RunningAgent> {
  const stores = createStores(config['node-name'], { identities: config.kvstore !== 'etcd' })
  const starting: Starting = { config, stores }
  const { api, healthz, becomeReady } = await listen(config, startingRoutes(starting))
  const etcd = config.kvstore === 'etcd' ? await openEtcd({ options: config['kvstore-opt'], leaseTtl: config['kvstore-lease-ttl'], log: log.subsys('kvstore') }) : undefined
  if (etcd !== undefined) starting.etcd = etcd
  const running = allStores(stores).map((store) => store.run(client, log.subsys('k8s')))
  const node = new NodeRecord(config, describeNode)
  const self = await waitForNode(stores, node, log)
  const datapath = await openDatapath(datapathConfig(config, self))
  log.info('Datapath is loaded', { device: self.device, nodeIPv4: self.ipv4, podCIDR: self.podCIDR, routerIPv4: self.routerIPv4, mtu: self.mtu, tunnel: config.tunnel, podCIDR6: self.ipv6?.podCIDR ?? 'none' })
  for (const note of datapath.notes) log.warning('A map of an earlier agent was replaced', { reason: note })

  const ipam = new IPAM(self.podCIDR)
  const monitor: MonitorHub = new MonitorHub(datapath, (event) => options.wants(event))
  const cidrs = new CIDRIdentities(datapath.listCIDRs())
  const requests = noStatistics()
  const proxy: L7Proxy = new L7Proxy({
    transport: datapath, log: log.subsys('proxy'), record: (record) => { count(requests, record); monitor.l7Event(record) },
    labelsOf: (identity) => shared.identities().get(identity) ?? cidrs.list().find(({ id }) => id === identity)?.labels ?? [],
    endpointAt: (ip) => endpoints.list().find(({ record }) => record.ipv4 === ip || record.ipv6 === ip)?.id ?? 0,
  })
  const endpoints: EndpointManager = new EndpointManager({ datapath, ipam, self, state: new StateDir(config['state-dir'], log), log: log.subsys('endpoint'), proxy })
  endpoints.restore()
  const options = new MonitorOptions({ debug: isOn(config.debug), setDebug: (on) => datapath.setDebug(on), logDebug: (on) => log.setDebug(on), endpoints })

  endpoints.onChange(() => { monitor.interfacesChanged(); options.settle() })
  const policies = new PolicyRepository(log.subsys('policy'), ruleFile(join(config['state-dir'], 'policies.json'), log.subsys('policy')))
  const manual = new ManualServices(join(config['state-dir'], 'services.json'), log.subsys('service'))
  let namesChanged = () => {}
  const names = new NamePoller({ resolve: addressResolver(self.ipv6 !== undefined), changed: () => namesChanged(), file: join(config['state-dir'], 'names.json'), log: log.subsys('policy') })
  const shared = sharedState(etcd, { config, client, stores, self, endpoints, log: log.subsys('identity') })
  let mode: EnforcementMode = config['enable-policy']
  const services = new Map(datapath.listServices().map((service) => [frontendKey(service.frontend), service]))
  const sync: SyncDeps = { self, stores, datapath, endpoints, shared, cidrs, policies, manual, services, names, monitor, client, log: log.subsys('controller'), enforcement: () => mode }

  const conntrackGC = new ConntrackGC({ datapath, intervalMs: config['conntrack-gc-interval'] * 1000, log })
  starting.open = { datapath, monitor, endpoints, controllers: conntrackGC.controllers }
  api.serve(startingRoutes(starting))
  await waitForStores(stores, etcd, log)
  if (!node.isStill(self, stores.nodes.get(config['node-name']))) throw new Error('this Node is not what it was when the API server was last in reach: starting anew with what it is now')
  removeOrphans(stores, endpoints)
  const controllers = createControllers(sync)
  const sharing = shared.controllers(endpoints)
  const operation = createOperation({ config, conntrackGC, monitor, proxy, requests: requests.requests, nodeName: self.name, stores, endpoints, policies, datapath, shared, controllers: [...(Object.values(controllers) as Controller[]), ...sharing], log })
  namesChanged = () => controllers.policy.trigger()
  // Addresses and identities first: policy is of no use without them.
  for (const name of ['ipcache', 'tunnels', 'services', 'policy', 'identities', 'publish', 'policyStatus'] as const) await controllers[name].settle()
  for (const controller of sharing) await controller.settle()
  datapath.attach()
  await operation.restore()

  const kubernetesVersion = await describeServer(client)
  const cni = new CNIHandler({ endpoints, client, self, log: log.subsys('cni'), regenerate: (endpoint, pod) => serve(sync, controllers, endpoint, pod), inspect: (spec) => datapath.inspectEndpoint(spec) })
  const routes = createRoutes({
    config, datapath, endpoints, shared, kvstore: etcd?.store, cidrs, policies, manual, services: () => [...services.values()], proxy, monitor, cni, health: operation.health, metrics: operation.metrics, prefilter: operation.prefilter, options,
    policyChanged: async () => { await controllers.policy.settle(); return controllers.policy.failure() },
    servicesChanged: async (frontend) => { await controllers.services.settle(); return controllers.services.failure(frontend === undefined ? '' : frontendKey(frontend)) },
    world: () => worldOf(sync, policies.rules),
    status: () => statusModel({ datapath, stores, endpoints, ipam, monitor, proxy, shared, controllers: operation.controllers, health: operation.health, kubernetesVersion, routerIPv4: self.routerIPv4, routerIPv6: self.ipv6?.router }),
    nodes: () => stores.nodes.list().map((node) => ({ name: node.metadata.name, ipv4: internalIP(node) ?? '', podCIDR: node.spec.podCIDR ?? '', ...(self.ipv6 === undefined || node.spec.podCIDR === undefined ? {} : { podCIDR6: nodeCIDR6(self.ipv6.clusterCIDR, node.spec.podCIDR) }) })),
    enforcement: { get: () => mode, set: (value) => { mode = value; controllers.policy.trigger() } },
  })
  await operation.start()
  api.serve(routes)
  becomeReady()
  installCNI({ plugin: config['cni-plugin'], binDir: config['cni-bin-dir'], confDir: config['cni-conf-dir'] })
  monitor.agentEvent('Cilium agent started', { time: new Date().toISOString() })
  log.info('Agent is ready', { endpoints: endpoints.list().length, policyRevision: policies.revision })

  const stop = async () => {
    operation.stop()
    conntrackGC.stop()
    for (const store of allStores(stores)) store.stop()
    monitor.close()
    for (const server of [api, healthz]) { server.close(); server.closeAllConnections() }
    await Promise.all([...operation.controllers.map((controller) => controller.stop()), ...running])
    await etcd?.stop()
    client.close()
    names.stop()
    proxy.close()
    datapath.close()
  }
  return { datapath, stop }
}

/** Where agents tell each other of identities and addresses. */
function sharedState(etcd: Etcd | undefined, { config, client, stores, self, endpoints, log }: { config: AgentConfig; client: KubeClient; stores: Stores; self: LocalNode; endpoints: EndpointManager; log: Logger }): SharedState {
  const graceMs = config['identity-gc-interval'] * 900
  if (etcd !== undefined) return new EtcdState({ etcd, node: self, log, graceMs })
  const { identities, ciliumEndpoints } = stores
  if (identities === undefined) throw new Error('identities are kept nowhere')
  return new KubernetesState({ client, identities, ciliumEndpoints, log, graceMs, node: self.ipv4, own: () => endpoints.list().map(({ record }) => record.identity) })
}

/** What CNI ADD waits for: identity known here, policies of all local endpoints made with it, address in the ipcache. What the datapath refuses of others is theirs to bear. */
async function serve(sync: SyncDeps, controllers: Controllers, endpoint: Endpoint, pod: PodInfo): Promise<void> {
  const { endpoints, shared } = sync
  endpoints.setPod(endpoint, pod)
  const identity = await shared.allocate(pod.labels)
  await identityIsKnown(shared, identity)
  endpoints.setIdentity(endpoint, identity, pod.labels)
  applyPolicy(sync, endpoint, 'updated security labels')
  await Promise.all([controllers.policy.settle(), controllers.ipcache.settle()])
  const { ipv4, ipv6 = ipv4 } = endpoint.record
  const refused = controllers.policy.failure(nameOf(endpoint)) ?? controllers.ipcache.failure(ipv4) ?? controllers.ipcache.failure(ipv6)
  if (refused !== undefined) throw new Error(refused)
}

/** A new identity comes back by the watch; other endpoints' policies need it before its pod sends. Bounded: the watch may be down. */
async function identityIsKnown(shared: SharedState, identity: number): Promise<void> {
  for (let waited = 0; waited < 2000 && !shared.identities().has(identity); waited += 20) await new Promise((resolve) => setTimeout(resolve, 20))
}

/** Opens what the agent is asked by, so that it can be asked from its start on. `/livez` says that it runs, `/healthz` that it serves. */
async function listen(config: AgentConfig, routes: Routes): Promise<{ api: ReturnType<typeof createApiServer>; healthz: http.Server; becomeReady: () => void }> {
  let ready = false
  const api = createApiServer(routes)
  const healthz = http.createServer(({ url }, response) => {
    const good = url === '/livez' || (url === '/healthz' && ready)
    response.writeHead(good ? 200 : 503).end(good ? 'OK\n' : 'starting\n')
  })
  await listenUnix(api, config['socket-path'])
  await listenLoopback(healthz, config['agent-health-port'])
  return { api, healthz, becomeReady: () => { ready = true } }
}

/** While the API server is out of reach, the Node as an agent before this one knew it: connections must be collected, and the monitor served, whoever is away. */
async function waitForNode(stores: Stores, record: NodeRecord, log: Logger): Promise<LocalNode> {
  for (let waited = 0; ; waited++) {
    const node = stores.nodes.get(record.name)
    const self = node === undefined ? undefined : record.describe(node)
    if (self !== undefined) return self
    const last = stores.nodes.error === undefined ? undefined : record.last()
    if (last !== undefined) {
      log.warning('Kubernetes is out of reach: going on with this node as it was, and with its policies, services and pods', { nodeName: record.name, error: stores.nodes.error })
      return last
    }
    if (waited % 100 === 20) {
      const why = stores.nodes.error ?? (node === undefined ? 'no Node of this name is registered' : 'it has no pod CIDR or InternalIP (kube-controller-manager --allocate-node-cidrs)')
      log.info('Waiting for this node', { nodeName: record.name, reason: why })
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** The agent can't tell what to allow before it knows everything there is; it waits for as long as that takes, and says for what. */
async function waitForStores(stores: Stores, etcd: Etcd | undefined, log: Logger): Promise<void> {
  const report = setInterval(() => {
    for (const { source, synced, error } of allStores(stores)) if (!synced) log.info('Waiting for Kubernetes objects', { path: source.path, error })
    if (etcd?.mirror.synced === false) log.info('Waiting for etcd', { endpoints: etcd.store.endpoints.join(','), error: etcd.mirror.error })
  }, 10_000)
  await Promise.all([...allStores(stores).map((store) => store.ready), etcd?.mirror.ready]).finally(() => clearInterval(report))
}

/** Pods may have gone while no agent ran. */
function removeOrphans(stores: Stores, endpoints: EndpointManager): void {
  for (const endpoint of endpoints.list()) {
    if (stores.pods.get(podKey(endpoint.record)) === undefined) endpoints.remove(endpoint, 'its pod is gone')
  }
}

async function describeServer(client: KubeClient): Promise<string> {
  try {
    const { major, minor, gitVersion, platform } = await client.get<{ major: string; minor: string; gitVersion: string; platform: string }>('/version')
    return `${major}.${minor} (${gitVersion}) [${platform}]`
  } catch (error) {
    return `unknown version (${messageOf(error)})`
  }
}

/** Linux's own for VXLAN (as Cilium has it), IANA's for Geneve. */
const tunnelPorts = { vxlan: 8472, geneve: 6081 } as const

function datapathConfig(config: AgentConfig, self: LocalNode): DatapathConfig {
  return {
    objectFile: config['object-file'], bpffs: config['bpf-root'], nodeIPv4: self.ipv4, nodeDevice: self.device, podCIDR: self.podCIDR, clusterCIDR: config['cluster-cidr'],
    serviceCIDR: config['service-cidr'], routerIPv4: self.routerIPv4, ...(self.ipv6 === undefined ? {} : { ipv6: self.ipv6 }), tunnel: config.tunnel, tunnelPort: config['tunnel-port'] || tunnelPorts[config.tunnel], mtu: self.mtu, monitorPages: config['monitor-num-pages'], debug: isOn(config.debug), conntrackEntries: config['bpf-ct-global-tcp-max'],
    prefilter: { objectFile: config['prefilter-object-file'], device: config['prefilter-device'] || self.device, mode: config['prefilter-mode'] },
  }
}
