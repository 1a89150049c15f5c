import * as z from 'zod/mini'
import { existsSync } from 'node:fs'
import { loadavg } from 'node:os'
import type { AgentConfig } from '../config/agent.ts'
import type { Datapath } from '../datapath/types.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { EndpointManager } from '../endpoint/manager.ts'
import { hasFault } from '../fault.ts'
import { healthModel } from '../health/model.ts'
import type { HealthProber } from '../health/prober.ts'
import { messageOf } from '../log.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { MonitorHub } from '../monitor/hub.ts'
import { monitorOptions, type EndpointOptions, type MonitorOption, type MonitorOptions } from '../monitor/options.ts'
import type { PolicyRepository } from '../policy/repository.ts'
import type { Prefilter } from '../prefilter/prefilter.ts'
import type { EnforcementMode } from '../policy/resolve.ts'
import { didYouMean } from '../text/nearest.ts'
import { ApiError, bodyAs, type Answer, type Routes } from './http.ts'
import type { ConfigModel, DaemonHealthModel, EndpointHealthModel, PrefilterModel, StatusModel } from './models.ts'

export interface OperationDeps {
  config: AgentConfig; datapath: Datapath; endpoints: EndpointManager; policies: PolicyRepository; monitor: MonitorHub; health: HealthProber; metrics: Metrics; prefilter: Prefilter
  enforcement: { get: () => EnforcementMode; set: (mode: EnforcementMode) => void }
  /** What can be changed while the agent runs. */
  options: MonitorOptions
  status: () => StatusModel
}

const ok = (body: unknown): Answer => ({ body })

/** By number, address, container or pod (`pod-name:default:web-0`). */
export function findEndpoint(endpoints: EndpointManager, text: string): Endpoint {
  const found = endpoints.get(Number(text)) ?? endpoints.list().find(({ record }) => [record.ipv4, record.ipv6, record.containerId, `${record.pod.namespace}:${record.pod.name}`].includes(text.replace(/^[a-z-]+:/, '')))
  if (found === undefined) throw new ApiError(404, `endpoint ${text} not found`)
  return found
}

/** What people and their tools ask to run an agent: health, metrics, settings, and single endpoints. */
export function operationRoutes(deps: OperationDeps): Routes {
  const { endpoints, health, metrics, monitor, prefilter } = deps
  const endpoint = (text: string | undefined) => findEndpoint(endpoints, text ?? '')
  return {
    'GET /v1/health': () => ok(health.last === undefined ? null : healthModel(health.last)),
    'GET /v1/health/daemon': () => ok(daemonHealth(deps.status())),
    'PUT /v1/health/probe': async () => {
      if (!health.enabled) throw new ApiError(400, 'health checks are off: cluster-health-port is 0')
      return ok(healthModel(await health.probe()))
    },
    'GET /v1/metrics': async () => ok(await metrics.list()),
    'GET /v1/prefilter': () => ok(prefilterModel(deps)),
    'PATCH /v1/prefilter': async ({ body }) => { const request = prefilterRequest(await body()); refused(() => prefilter.add(request)); return ok(prefilterModel(deps)) },
    'DELETE /v1/prefilter': async ({ body }) => { const request = prefilterRequest(await body()); refused(() => prefilter.remove(request)); return ok(prefilterModel(deps)) },
    'GET /v1/config': () => ok(configModel(deps)),
    'PATCH /v1/config': async ({ body }) => { change(deps, await body()); return ok(configModel(deps)) },
    'GET /v1/endpoint/*/healthz': ({ parameters: [id] }) => ok(endpointHealth(deps, endpoint(id))),
    'GET /v1/endpoint/*/config': ({ parameters: [id] }) => ok({ realized: { options: datapathOptions(deps.options.of(endpoint(id))) } }),
    'PATCH /v1/endpoint/*/config': async ({ parameters: [id], body }) => { changeEndpoint(deps, endpoint(id), await body()); return ok(null) },
    'POST /v1/endpoint/*/regenerate': ({ parameters: [id] }) => {
      const found = endpoint(id)
      try { endpoints.regenerate(found, 'requested on the command line') } catch (error) { monitor.regenerated(found, error); throw error }
      monitor.regenerated(found)
      return ok(null)
    },
  }
}

const denial = z.object({ revision: z.optional(z.int().check(z.gte(0))), deny: z.array(z.string()).check(z.minLength(1, 'names no prefix')) })

function prefilterRequest(body: unknown): { revision?: number; deny: string[] } {
  const { revision, deny } = bodyAs(denial, body)
  return { deny, ...(revision === undefined ? {} : { revision }) }
}

/** What the prefilter refuses is the request's fault. */
function refused(run: () => void): void {
  try { run() } catch (error) { throw new ApiError(400, messageOf(error)) }
}

/** Of this process and its machine, as `cilium-health get` shows them. */
function daemonHealth(cilium: StatusModel): DaemonHealthModel {
  const [last1min = 0, last5min = 0, last15min = 0] = loadavg().map((load) => load.toFixed(2))
  return { cilium, uptime: `${Math.round(process.uptime())}s`, 'system-load': { last1min: String(last1min), last5min: String(last5min), last15min: String(last15min) } }
}

const prefilterModel = ({ prefilter, datapath }: OperationDeps): PrefilterModel => ({ status: { realized: { revision: prefilter.revision, deny: prefilter.list() }, mode: datapath.prefilterMode() ?? 'off' } })

/** What the datapath sees of the endpoint, and whether it has the present rules. */
function endpointHealth({ datapath, policies }: OperationDeps, { id, record, state, policyRevision }: Endpoint): EndpointHealthModel {
  const connected = existsSync(`/sys/class/net/${record.hostInterface}`)
  const bpf = datapath.listEndpoints().some((entry) => entry.id === id && entry.ip === record.ipv4 && entry.identity === record.identity) ? 'OK' : 'Failure'
  const policy = state === 'not-ready' ? 'Failure' : policyRevision >= policies.revision ? 'OK' : 'Pending'
  return { overallHealth: connected && bpf === 'OK' ? policy : 'Failure', bpf, policy, connected }
}

const enabled = (on: boolean): string => (on ? 'Enabled' : 'Disabled')
const datapathOptions = (own: Record<MonitorOption, boolean>): Record<string, string> => ({
  Conntrack: 'Enabled', ConntrackAccounting: 'Enabled', ConntrackLocal: 'Disabled', Debug: enabled(own.Debug), DropNotification: enabled(own.DropNotification), MonitorAggregationLevel: 'None', PolicyTracing: 'Disabled',
  TraceNotification: enabled(own.TraceNotification),
})

function configModel(deps: OperationDeps): ConfigModel {
  const { config, enforcement } = deps
  return {
    immutable: Object.fromEntries(Object.entries(config).map(([name, value]) => [name, String(value)])),
    realized: { options: datapathOptions(deps.options.node()), 'policy-enforcement': enforcement.get() },
    'k8s-configuration': '', 'k8s-endpoint': `https://${config['k8s-api-host']}:${config['k8s-api-port']}`, nodeMonitor: { npages: config['monitor-num-pages'] },
  }
}

const given = z.record(z.string(), z.string())
const onOff: Readonly<Record<string, boolean>> = { enable: true, enabled: true, true: true, on: true, disable: false, disabled: false, false: false, off: false }

/** All or nothing: a request with one bad option changes none. */
function change({ enforcement, options }: OperationDeps, body: unknown): void {
  const { PolicyEnforcement: mode, ...rest } = bodyAs(given, body ?? {})
  if (mode !== undefined && mode !== 'default' && mode !== 'always' && mode !== 'never') throw new ApiError(400, `PolicyEnforcement=${JSON.stringify(mode)}: must be default, always or never`)
  const switched = switches(rest, ['PolicyEnforcement'])
  if (hasFault('config-not-applied')) return
  if (mode !== undefined) enforcement.set(mode)
  options.setNode(switched)
}

function changeEndpoint({ options }: OperationDeps, endpoint: Endpoint, body: unknown): void {
  const switched = switches(bodyAs(given, body ?? {}))
  if (!hasFault('config-not-applied')) options.setEndpoint(endpoint, switched)
}

/** Options that are on or off. `others`: what else may be changed there. */
function switches(asked: Readonly<Record<string, string>>, others: readonly string[] = []): EndpointOptions {
  const known = Object.keys(datapathOptions({ Debug: false, DropNotification: false, TraceNotification: false }))
  return Object.fromEntries(Object.entries(asked).map(([name, value]) => {
    if (!monitorOptions.some((each) => each === name)) throw new ApiError(400, known.includes(name) ? `${name} can't be changed while the agent runs; ${[...monitorOptions, ...others].join(', ')} can` : `unknown option ${JSON.stringify(name)}${didYouMean(name, [...known, ...others])}`)
    const on = onOff[value.toLowerCase()]
    if (on === undefined) throw new ApiError(400, `${name}=${JSON.stringify(value)}: must be enable or disable`)
    return [name, on]
  }))
}
