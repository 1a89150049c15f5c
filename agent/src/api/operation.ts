import * as z from 'zod/mini'
import { existsSync } from 'node:fs'
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
import type { PolicyRepository } from '../policy/repository.ts'
import type { Prefilter } from '../prefilter/prefilter.ts'
import type { EnforcementMode } from '../policy/resolve.ts'
import { didYouMean } from '../text/nearest.ts'
import { ApiError, bodyAs, type Answer, type Routes } from './http.ts'
import type { ConfigModel, EndpointHealthModel, PrefilterModel } from './models.ts'

export interface OperationDeps {
  config: AgentConfig; datapath: Datapath; endpoints: EndpointManager; policies: PolicyRepository; monitor: MonitorHub; health: HealthProber; metrics: Metrics; prefilter: Prefilter
  enforcement: { get: () => EnforcementMode; set: (mode: EnforcementMode) => void }
  /** What can be changed while the agent runs. */
  debug: { get: () => boolean; set: (on: boolean) => void }
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
    'GET /v1/endpoint/*/config': ({ parameters: [id] }) => { endpoint(id); return ok({ realized: { options: datapathOptions(deps) } }) },
    'POST /v1/endpoint/*/regenerate': ({ parameters: [id] }) => {
      const found = endpoint(id)
      endpoints.regenerate(found, 'requested on the command line')
      monitor.agentEvent('Endpoint regenerated', { id: found.id, labels: [...found.record.labels] })
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

const prefilterModel = ({ prefilter, datapath }: OperationDeps): PrefilterModel => ({ status: { realized: { revision: prefilter.revision, deny: prefilter.list() }, mode: datapath.prefilterMode() ?? 'off' } })

/** What the datapath sees of the endpoint, and whether it has the present rules. */
function endpointHealth({ datapath, policies }: OperationDeps, { id, record, policyRevision }: Endpoint): EndpointHealthModel {
  const connected = existsSync(`/sys/class/net/${record.hostInterface}`)
  const bpf = datapath.listEndpoints().some((entry) => entry.id === id && entry.ip === record.ipv4 && entry.identity === record.identity) ? 'OK' : 'Failure'
  const policy = policyRevision >= policies.revision ? 'OK' : 'Pending'
  return { overallHealth: connected && bpf === 'OK' ? policy : 'Failure', bpf, policy, connected }
}

const enabled = (on: boolean): string => (on ? 'Enabled' : 'Disabled')
const datapathOptions = ({ debug }: OperationDeps): Record<string, string> => ({
  Conntrack: 'Enabled', ConntrackAccounting: 'Enabled', ConntrackLocal: 'Disabled', Debug: enabled(debug.get()), DropNotification: 'Enabled', MonitorAggregationLevel: 'None', PolicyTracing: 'Disabled', TraceNotification: 'Enabled',
})

function configModel(deps: OperationDeps): ConfigModel {
  const { config, enforcement } = deps
  return {
    immutable: Object.fromEntries(Object.entries(config).map(([name, value]) => [name, String(value)])),
    realized: { options: datapathOptions(deps), 'policy-enforcement': enforcement.get() },
    'k8s-configuration': '', 'k8s-endpoint': `https://${config['k8s-api-host']}:${config['k8s-api-port']}`, nodeMonitor: { npages: config['monitor-num-pages'] },
  }
}

const options = z.record(z.string(), z.string())
const onOff: Readonly<Record<string, boolean>> = { enable: true, enabled: true, true: true, on: true, disable: false, disabled: false, false: false, off: false }

/** All or nothing: a request with one bad option changes none. */
function change(deps: OperationDeps, body: unknown): void {
  const { enforcement, debug } = deps
  const parsed = options.safeParse(body ?? {})
  if (!parsed.success) throw new ApiError(400, 'options must be an object of strings')
  const changes = Object.entries(parsed.data).map(([name, value]): (() => void) => {
    if (name === 'PolicyEnforcement') {
      if (value !== 'default' && value !== 'always' && value !== 'never') throw new ApiError(400, `PolicyEnforcement=${JSON.stringify(value)}: must be default, always or never`)
      return () => enforcement.set(value)
    }
    if (name === 'Debug') {
      const on = onOff[value.toLowerCase()]
      if (on === undefined) throw new ApiError(400, `Debug=${JSON.stringify(value)}: must be enable or disable`)
      return () => debug.set(on)
    }
    const known = Object.keys(datapathOptions(deps))
    throw new ApiError(400, known.includes(name) ? `${name} can't be changed while the agent runs; Debug and PolicyEnforcement can` : `unknown option ${JSON.stringify(name)}${didYouMean(name, [...known, 'PolicyEnforcement'])}`)
  })
  if (hasFault('config-not-applied')) return
  for (const apply of changes) apply()
}
