import { Counter, Gauge, Registry } from 'prom-client'
import type { ConntrackGC } from '../conntrack/gc.ts'
import type { Datapath, ProtocolCounts } from '../datapath/types.ts'
import type { EndpointManager } from '../endpoint/manager.ts'
import { hasFault } from '../fault.ts'
import type { HealthReport } from '../health/prober.ts'
import { dropReason } from '../monitor/reasons.ts'
import type { MonitorHub } from '../monitor/hub.ts'
import type { PolicyRepository } from '../policy/repository.ts'
import type { Counts } from '../proxy/record.ts'
import type { Controller } from '../reconcile/controller.ts'

export interface MetricsDeps {
  datapath: Datapath; conntrack: Pick<ConntrackGC, 'sweeps' | 'runs'>; monitor: Pick<MonitorHub, 'lost'>; proxy: { redirects: number }; requests: Counts; endpoints: EndpointManager; policies: PolicyRepository; controllers: Controller[]; health: () => HealthReport | undefined
}
/** One sample, as `cilium metrics list` shows it. */
export interface MetricModel { name: string; labels: Record<string, string>; value: number }

const directions = { ingress: 'INGRESS', egress: 'EGRESS' } as const

/** What the agent counts, under the names of Cilium 1.2. Nothing is counted twice: each is read from where it is when it is asked for. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #deps: MetricsDeps
  /** A seeded fault: what was read first. */
  #frozen: ReturnType<Datapath['metrics']> | undefined

  constructor(deps: MetricsDeps) {
    this.#deps = deps
    const { datapath, conntrack, monitor, proxy, requests, endpoints, policies, controllers, health } = deps
    this.#gauge('endpoint_count', 'Number of endpoints managed by this agent', () => endpoints.list().length)
    this.#labelled('endpoint_state', 'Count of all endpoints, by state', ['endpoint_state'], () => count(endpoints.list().map(({ state }) => state)).map(([state, n]) => [{ endpoint_state: state }, n]))
    this.#total('endpoint_regenerations', 'Count of all endpoint regenerations that have completed, by outcome', ['outcome'], () => [[{ outcome: 'success' }, endpoints.regenerations.success], [{ outcome: 'fail' }, endpoints.regenerations.fail]])
    this.#gauge('policy_count', 'Number of policies currently loaded', () => policies.rules.length)
    this.#gauge('policy_max_revision', 'Highest policy revision number in the agent', () => policies.revision)
    this.#total('policy_import_errors', 'Number of times a policy import has failed', [], () => [[{}, policies.errors]])
    this.#total('drop_count_total', 'Total dropped packets, by reason and direction', ['reason', 'direction'], () => this.#traffic().filter(({ reason }) => reason !== 0).map(({ reason, direction, packets }) => [{ reason: dropReason(reason), direction: directions[direction] }, packets]))
    this.#total('forward_count_total', 'Total forwarded packets, by direction', ['direction'], () => this.#traffic().filter(({ reason }) => reason === 0).map(({ direction, packets }) => [{ direction: directions[direction] }, packets]))
    this.#total('datapath_errors_total', 'Number of times a part of the datapath could not be brought to what it should be', ['area', 'family', 'name'],
      () => controllers.filter(({ area }) => area === 'datapath').map(({ name, status }) => [{ area: name, family: 'ipv4', name: 'sync' }, status.failures]))
    this.#total('datapath_conntrack_gc_runs_total', 'Number of times that the conntrack garbage collector was run, by completion status', ['status'], () => [[{ status: 'completed' }, conntrack.runs.success], [{ status: 'uncompleted' }, conntrack.runs.failure]])
    this.#labelled('datapath_conntrack_gc_entries', 'Number of alive and deleted conntrack entries at the end of the last garbage collector run', ['family', 'protocol', 'status'],
      () => conntrack.sweeps.flatMap(({ family, alive, deleted }) => [...byProtocol(family, 'alive', alive), ...byProtocol(family, 'deleted', deleted)]))
    this.#labelled('bpf_map_pressure', 'Share of a map\'s capacity that is in use, 0 to 1; of conntrack at the end of the last garbage collector run', ['map_name'], () => datapath.listMaps().map(({ name, entries, capacity }) => [{ map_name: name.replace('cilium_', '') }, entries / capacity]))
    this.#gauge('proxy_redirects', 'Number of redirects installed for endpoints', () => proxy.redirects)
    this.#total('policy_l7_received_total', 'Number of total L7 received requests', [], () => [[{}, requests.received]])
    this.#total('policy_l7_forwarded_total', 'Number of total L7 forwarded requests', [], () => [[{}, requests.forwarded]])
    this.#total('policy_l7_denied_total', 'Number of total L7 denied requests due to policy', [], () => [[{}, requests.denied]])
    this.#total('policy_l7_parse_errors_total', 'Number of total L7 requests that could not be understood or sent on', [], () => [[{}, requests.error]])
    this.#total('monitor_lost_events_total', 'Number of events of the datapath that no monitor was told of, since the rings had no room for them', [], () => [[{}, monitor.lost]])
    this.#total('controllers_runs_total', 'Number of times that a controller process was run, by completion status', ['status'], () => [
      [{ status: 'success' }, sum(controllers.map(({ status }) => status.successes))], [{ status: 'failure' }, sum(controllers.map(({ status }) => status.failures))],
    ])
    this.#gauge('controllers_failing', 'Number of failing controllers', () => controllers.filter(({ status }) => status.consecutiveFailures > 0).length)
    this.#gauge('unreachable_nodes', 'Number of nodes that cannot be reached', () => health()?.nodes.filter(({ host }) => !host.reachable).length ?? 0)
    this.#gauge('unreachable_health_endpoints', 'Number of health endpoints that cannot be reached', () => health()?.nodes.filter(({ endpoint }) => !endpoint.reachable).length ?? 0)
    // prom-client's own would watch the event loop by a timer of 10 ms, which an emulated node feels.
    this.#total('process_cpu_seconds_total', 'Total user and system CPU time spent in seconds', [], () => [[{}, seconds(process.cpuUsage())]])
    this.#gauge('process_resident_memory_bytes', 'Resident memory size in bytes', () => process.memoryUsage.rss())
  }

  /** In Prometheus' text format. */
  text(): Promise<string> { return this.#registry.metrics() }
  get contentType(): string { return this.#registry.contentType }

  async list(): Promise<MetricModel[]> {
    const all = await this.#registry.getMetricsAsJSON()
    return all.flatMap(({ name, values }) => values.map(({ labels, value }) => ({ name, labels: Object.fromEntries(Object.entries(labels).map(([key, text]) => [key, String(text)])), value })))
  }

  #traffic(): ReturnType<Datapath['metrics']> {
    const read = this.#deps.datapath.metrics()
    return hasFault('metrics-frozen') ? (this.#frozen ??= read) : read
  }

  #gauge(name: string, help: string, read: () => number): void {
    this.#registry.registerMetric(new Gauge({ name: `cilium_${name}`, help, registers: [], collect() { this.set(read()) } }))
  }

  #labelled(name: string, help: string, labelNames: string[], read: () => [Record<string, string>, number][]): void {
    this.#registry.registerMetric(new Gauge({ name: `cilium_${name}`, help, labelNames, registers: [], collect() { this.reset(); for (const [labels, value] of read()) this.set(labels, value) } }))
  }

  /** Totals that are kept elsewhere. */
  #total(name: string, help: string, labelNames: string[], read: () => [Record<string, string>, number][]): void {
    this.#registry.registerMetric(new Counter({ name: `cilium_${name}`, help, labelNames, registers: [], collect() { this.reset(); for (const [labels, value] of read()) this.inc(labels, value) } }))
  }
}

/** Cilium's labels. */
const byProtocol = (family: string, status: string, { tcp, other }: ProtocolCounts): [Record<string, string>, number][] => [[{ family, protocol: 'TCP', status }, tcp], [{ family, protocol: 'non-TCP', status }, other]]

const sum = (numbers: number[]): number => numbers.reduce((a, b) => a + b, 0)
const count = (words: string[]): [string, number][] => [...Map.groupBy(words, (word) => word)].map(([word, same]) => [word, same.length])
const seconds = ({ user, system }: NodeJS.CpuUsage): number => (user + system) / 1e6
