import type http from 'node:http'
import { join } from 'node:path'
import { listenAt } from './api/http.ts'
import { firstAddress } from './cluster/cidr.ts'
import { internalIP } from './cluster/node.ts'
import type { Stores } from './cluster/stores.ts'
import type { AgentConfig } from './config/agent.ts'
import type { ConntrackGC } from './conntrack/gc.ts'
import type { Datapath } from './datapath/types.ts'
import type { EndpointManager } from './endpoint/manager.ts'
import { healthResponder, HealthProber, type ProbeTarget } from './health/prober.ts'
import type { Node } from './k8s/types.ts'
import type { Logger } from './log.ts'
import { listenAddress } from './metrics/listen.ts'
import { Metrics } from './metrics/metrics.ts'
import { metricsServer } from './metrics/serve.ts'
import type { MonitorHub } from './monitor/hub.ts'
import type { PolicyRepository } from './policy/repository.ts'
import { Prefilter } from './prefilter/prefilter.ts'
import type { L7Proxy } from './proxy/proxy.ts'
import type { Counts } from './proxy/record.ts'
import { Controller } from './reconcile/controller.ts'
import type { SharedState } from './shared/state.ts'

export interface OperationParts { config: AgentConfig; conntrackGC: ConntrackGC; monitor: MonitorHub; proxy: L7Proxy; /** By what became of them. */ requests: Counts; nodeName: string; stores: Stores; endpoints: EndpointManager; policies: PolicyRepository; datapath: Datapath; shared: SharedState; /** Of what else the agent does. */ controllers: Controller[]; log: Logger }

/** What an agent does beside its datapath's work. */
export interface Operation {
  /** All of the agent's, with those that were given. */
  controllers: Controller[]
  health: HealthProber; metrics: Metrics; prefilter: Prefilter
  /** Denies again what was denied before. */
  restore: () => Promise<void>
  /** Looks, probes and serves from now on. */
  start: () => Promise<void>
  stop: () => void
}

const healthIntervalMs = 60_000

/** Garbage, health, metrics, the prefilter and what can be changed while the agent runs. */
export function createOperation({ config, conntrackGC, monitor, proxy, requests, nodeName, stores, endpoints, policies, datapath, shared, controllers, log }: OperationParts): Operation {
  const health = new HealthProber({ self: nodeName, targets: () => probeTargets(stores.nodes.list()), ping: (ip, timeoutMs) => datapath.ping(ip, timeoutMs), port: config['cluster-health-port'] })
  const prefilter = new Prefilter(join(config['state-dir'], 'prefilter.json'), (deny) => datapath.setPrefilter(deny), log.subsys('prefilter'))
  const identityGC = new Controller('identity-gc', async () => { await shared.collect() }, log)
  const healthProbe = new Controller('cilium-health', async () => { await health.probe() }, log)
  const prefilterSync = new Controller('prefilter-sync', () => prefilter.apply(), log, 'datapath')
  const all = [...controllers, ...conntrackGC.controllers, identityGC, healthProbe, prefilterSync]
  const metrics = new Metrics({ datapath, conntrack: conntrackGC, monitor, proxy, requests, endpoints, policies, controllers: all, health: () => health.last })
  const timers: NodeJS.Timeout[] = []
  const servers: http.Server[] = []

  const every = (seconds: number, controller: Controller): void => void timers.push(setInterval(() => controller.trigger(), seconds * 1000))
  const start = async (): Promise<void> => {
    if (config['prometheus-serve-addr'] !== '') servers.push(await listenAt(metricsServer(metrics), listenAddress(config['prometheus-serve-addr'])))
    every(config['identity-gc-interval'], identityGC)
    if (!health.enabled) return
    servers.push(await listenAt(healthResponder(), { port: config['cluster-health-port'] }))
    every(healthIntervalMs / 1000, healthProbe)
    healthProbe.trigger()
  }
  return {
    controllers: all, health, metrics, prefilter, start, restore: () => prefilterSync.settle(),
    stop: () => {
      for (const timer of timers) clearInterval(timer)
      for (const server of servers) { server.close(); server.closeAllConnections() }
    },
  }
}

/** Every node that pods can be on. */
function probeTargets(nodes: Node[]): ProbeTarget[] {
  return nodes.flatMap((node) => {
    const [ip, podCIDR] = [internalIP(node), node.spec.podCIDR]
    return ip === undefined || podCIDR === undefined ? [] : [{ name: node.metadata.name, ip, endpointIP: firstAddress(podCIDR) }]
  })
}
