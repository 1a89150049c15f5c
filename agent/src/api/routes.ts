import * as z from 'zod/mini'
import { answer, runsInAgent } from '../cli/answer.ts'
import { withSocket } from '../cli/client.ts'
import type { ServiceSpec } from '../datapath/types.ts'
import type { CNIHandler } from '../endpoint/cni.ts'
import type { CIDRIdentities } from '../identity/cidr.ts'
import { labelsHash, parseLabel, type Labels } from '../identity/labels.ts'
import { fromRules } from '../policy/ciliumpolicy.ts'
import { messageOf } from '../log.ts'
import type { Kvstore } from '../kvstore/client.ts'
import type { MonitorHub } from '../monitor/hub.ts'
import type { L7Proxy } from '../proxy/proxy.ts'
import type { ManualServices } from '../service/manual.ts'
import type { SharedState } from '../shared/state.ts'
import type { World } from '../policy/resolve.ts'
import { tracePolicy } from '../policy/trace.ts'
import { sortedJson } from '../text/gojson.ts'
import { version } from '../version.ts'
import { ApiError, type Answer, type Routes } from './http.ts'
import { kvstoreRoutes } from './kvstore.ts'
import { mapRoutes } from './maps.ts'
import { endpointModel, serviceModel, type IdentityModel, type PolicyModel } from './models.ts'
import { findEndpoint, operationRoutes, type OperationDeps } from './operation.ts'

export interface ApiDeps extends OperationDeps {
  shared: SharedState; cidrs: CIDRIdentities
  /** Where one is used. */
  kvstore: Kvstore | undefined
  /** Resolves when every endpoint has the present rules, or with what kept them from it. */
  policyChanged: () => Promise<string | undefined>; manual: ManualServices; /** What the datapath has. */ services: () => ServiceSpec[]; /** Resolves when the datapath has the present services; with why it has not that of this frontend. */ servicesChanged: (frontend?: ServiceSpec['frontend']) => Promise<string | undefined>; /** What the present rules are resolved against. */ world: () => World
  proxy: L7Proxy; cni: CNIHandler; nodes: () => { name: string; ipv4: string; podCIDR: string; podCIDR6?: string }[]
}

const ok = (body: unknown): Answer => ({ body })
const serviceRequest = z.object({
  'frontend-address': z.object({ ip: z.string(), port: z.int(), protocol: z.enum(['TCP', 'UDP']) }), 'backend-addresses': z.array(z.object({ ip: z.string(), port: z.int(), weight: z.optional(z.int()) })),
  affinity: z.optional(z.int()),
})
const ruleList = z.array(z.unknown())
const labelList = z.array(z.string())
const traceRequest = z.object({
  from: labelList, to: labelList, dports: z.array(z.object({ port: z.int(), protocol: z.enum(['TCP', 'UDP', 'ANY']) })), verbose: z.boolean(),
})

/** Bad requests are answered as such, with what is wrong. */
function asked<T>(parse: (body: unknown) => T, body: unknown): T {
  try { return parse(body) } catch (error) { throw new ApiError(400, messageOf(error)) }
}

/** Tells who asked for a change that the datapath refuses it. The change itself stays. */
function taken(refusal: string | undefined): void {
  if (refusal !== undefined) throw new ApiError(500, `${refusal} (the change is kept, and tried again until it succeeds)`)
}

export function createRoutes(deps: ApiDeps): Routes {
  const { config, datapath, endpoints, shared, cidrs, policies, monitor, cni, status } = deps
  const allIdentities = () => new Map([...shared.identities(), ...cidrs.list().map(({ id, labels }) => [id, labels] as const)])
  const identity = (id: number, labels: Labels): IdentityModel => ({ id, labels: [...labels], labelsSHA256: labelsHash(labels) })
  const endpoint = (text: string) => findEndpoint(endpoints, text)
  return {
    'GET /v1/healthz': () => ok(status()),
    'GET /v1/version': () => ok(version),
    'GET /v1/endpoint': () => ok(endpoints.list().map((it) => endpointModel(it, identity(it.record.identity, it.record.labels), deps.proxy.statistics(it.id)))),
    'GET /v1/endpoint/*': ({ parameters: [id = ''] }) => { const it = endpoint(id); return ok(endpointModel(it, identity(it.record.identity, it.record.labels), deps.proxy.statistics(it.id))) },
    'GET /v1/identity': () => ok([...allIdentities()].map(([id, labels]) => identity(id, labels))),
    'GET /v1/identity/*': ({ parameters: [id = ''] }) => {
      const labels = allIdentities().get(Number(id))
      if (labels === undefined) throw new ApiError(404, `identity ${id} not found`)
      return ok(identity(Number(id), labels))
    },
    'GET /v1/service': () => ok(deps.services().sort((a, b) => a.id - b.id).map(serviceModel)),
    'GET /v1/service/*': ({ parameters: [id = ''] }) => {
      const service = deps.services().find((it) => it.id === Number(id))
      if (service === undefined) throw new ApiError(404, `service ${id} not found`)
      return ok(serviceModel(service))
    },
    'PUT /v1/service/*': async ({ parameters: [id = ''], body }) => {
      const model = asked((it) => serviceRequest.parse(it), await body())
      const spec = { id: Number(id), frontend: model['frontend-address'], backends: model['backend-addresses'], ...(model.affinity === undefined ? {} : { affinity: model.affinity }) }
      const answer = asked((it) => deps.manual.set(it, deps.services()), spec)
      taken(await deps.servicesChanged(spec.frontend))
      return ok(answer)
    },
    'DELETE /v1/service/*': async ({ parameters: [id = ''] }) => {
      const there = deps.services().find((it) => it.id === Number(id))
      if (!deps.manual.delete(Number(id))) throw new ApiError(there === undefined ? 404 : 403, there !== undefined ? `service ${id} is of Kubernetes: delete it there` : `service ${id} not found`)
      taken(await deps.servicesChanged(there?.frontend))
      return ok(null)
    },
    'GET /v1/node': () => ok(deps.nodes()),
    ...kvstoreRoutes(deps.kvstore),
    'GET /v1/policy': () => ok({ policy: sortedJson(policies.rules, 2), revision: policies.revision } satisfies PolicyModel),
    'PUT /v1/policy': async ({ body }) => {
      const sent = await body()
      const rules = asked((it) => {
        try { return fromRules(ruleList.parse(it)) } catch (error) { policies.countError(); throw error }
      }, sent)
      const revision = policies.add(rules)
      taken(await deps.policyChanged())
      return ok({ policy: sortedJson(policies.rules, 2), revision } satisfies PolicyModel)
    },
    'DELETE /v1/policy': async ({ body }) => {
      const labels = asked((it) => labelList.parse(it), await body()).map(parseLabel)
      const deleted = policies.remove(labels)
      if (deleted === 0) throw new ApiError(404, labels.length === 0 ? 'no imported policy rule' : 'no imported policy rule has these labels; those of Kubernetes are deleted there')
      taken(await deps.policyChanged())
      return ok({ policy: sortedJson(policies.rules, 2), revision: policies.revision } satisfies PolicyModel)
    },
    'POST /v1/policy/resolve': async ({ body }) => ok(tracePolicy(deps.world(), asked((it) => traceRequest.parse(it), await body()))),
    ...operationRoutes(deps),
    ...mapRoutes(datapath, endpoints),
    'GET /v1/monitor': monitorRoute(monitor),
    // The command line of client/cilium.c, which is no more than this call.
    'POST /v1/command': async ({ body }) => command(await body(), config['socket-path']),
    'POST /v1/cni': async ({ body }) => { const answer = await cni.handle(await body()); return { status: answer.ok ? 200 : 500, body: answer.body } },
  }
}

/** Frames (monitor/frames.ts) until the client goes. */
export const monitorRoute = (monitor: MonitorHub): Routes[string] => () => ({ stream: (response) => { response.writeHead(200, { 'content-type': 'application/octet-stream' }); monitor.attach(response) } })

/** Runs a command line in this process, for `socket`'s agent: its output as the body, stdout first. */
export async function command(body: unknown, socket: string): Promise<Answer> {
  const argv = (body as { argv?: unknown } | undefined)?.argv
  if (!Array.isArray(argv) || !argv.every((arg) => typeof arg === 'string')) throw new ApiError(400, 'argv must be a list of strings')
  if (!runsInAgent(argv)) throw new ApiError(501, 'this command runs in a process of its own')
  const { stdout, stderr, exitCode } = await withSocket(socket, () => answer(argv))
  const [out, err] = [Buffer.from(stdout), Buffer.from(stderr)]
  return {
    stream: (response) => {
      response.writeHead(200, { 'content-type': 'text/plain', 'content-length': out.length + err.length, 'x-exit-code': exitCode, 'x-stdout-length': out.length, connection: 'close' })
      response.end(Buffer.concat([out, err]))
    },
  }
}
