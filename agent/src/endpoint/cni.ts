import * as z from 'zod/mini'
import type { LocalNode } from '../cluster/node.ts'
import type { Datapath } from '../datapath/types.ts'
import { hasFault } from '../fault.ts'
import { isStatus, type KubeClient } from '../k8s/client.ts'
import type { Pod } from '../k8s/types.ts'
import { messageOf, type Logger } from '../log.ts'
import { differences, prevResultOf, type CNIResult } from './check.ts'
import type { Endpoint } from './endpoint.ts'
import type { EndpointManager } from './manager.ts'
import { podInfo, type PodInfo } from './podinfo.ts'

/** What the plugin posts: its environment and the network configuration from its standard input. */
const request = z.object({ command: z.string(), containerId: z.string(), netns: z.string(), ifname: z.string(), args: z.string(), config: z.string() })
type CNIRequest = z.infer<typeof request>
/** `ok` false makes the plugin exit 1. */
export interface CNIAnswer { ok: boolean; body: unknown }

export const cniVersions = ['0.3.0', '0.3.1', '0.4.0']

/** Error codes of the CNI specification; from 100 on, the plugin's own. */
const code = { incompatible: 1, unknownContainer: 3, invalidEnvironment: 4, io: 5, decode: 6, invalidConfig: 7, tryAgain: 11, failed: 100 } as const

export class CNIError extends Error {
  readonly code: number
  constructor(errorCode: number, message: string, options?: ErrorOptions) { super(message, options); this.code = errorCode }
}

export interface CNIDeps {
  endpoints: EndpointManager; client: KubeClient; self: LocalNode; log: Logger
  /** Gives the endpoint its identity and policy and enters it in the ipcache; resolves when all of it is in the datapath. */
  regenerate: (endpoint: Endpoint, pod: PodInfo) => Promise<void>
  inspect: Datapath['inspectEndpoint']
}

/** Serves ADD, DEL and CHECK. Calls for one container run one after the other. */
export class CNIHandler {
  readonly #deps: CNIDeps
  readonly #busy = new Map<string, Promise<unknown>>()
  constructor(deps: CNIDeps) { this.#deps = deps }

  async handle(body: unknown): Promise<CNIAnswer> {
    let version = '0.4.0'
    try {
      const parsed = request.parse(body)
      version = versionOf(parsed.config)
      const before = this.#busy.get(parsed.containerId)
      const run = (async () => { await before?.catch(() => undefined); return this.#run(parsed, version) })()
      this.#busy.set(parsed.containerId, run)
      return { ok: true, body: await run.finally(() => { if (this.#busy.get(parsed.containerId) === run) this.#busy.delete(parsed.containerId) }) }
    } catch (error) {
      const failure = error instanceof CNIError ? error : new CNIError(code.failed, messageOf(error))
      this.#deps.log.warning('CNI request failed', { error: failure.message, code: failure.code })
      return { ok: false, body: { cniVersion: version, code: failure.code, msg: failure.message } }
    }
  }

  async #run(it: CNIRequest, version: string): Promise<unknown> {
    const { endpoints } = this.#deps
    switch (it.command) {
      case 'ADD': return this.#result(await this.#add(it), it, version)
      case 'DEL': {
        const endpoint = endpoints.byContainer(it.containerId)
        if (endpoint !== undefined) endpoints.remove(endpoint, 'CNI DEL')
        return {}
      }
      case 'CHECK': this.#check(it, version); return {}
      default: throw new CNIError(code.invalidEnvironment, `CNI_COMMAND is ${JSON.stringify(it.command)}; ADD, DEL, CHECK and VERSION are known`)
    }
  }

  /** The container must be as ADD answered, by this agent's account and, where the runtime passes it, by the runtime's. */
  #check(it: CNIRequest, version: string): void {
    if (hasFault('cni-check-always-succeeds')) return
    const { containerId, netns, ifname } = it
    const name = `container ${containerId.slice(0, 12)}`
    const endpoint = this.#deps.endpoints.byContainer(containerId)
    if (endpoint?.state !== 'ready') throw new CNIError(endpoint === undefined ? code.unknownContainer : code.failed, `${name} has no endpoint that is ready`)
    const { hostInterface } = endpoint.record
    let told: CNIResult | undefined
    try { told = prevResultOf(it.config) } catch (error) { throw new CNIError(code.invalidConfig, messageOf(error)) }
    const seen = this.#deps.inspect({ netns, containerInterface: ifname, hostInterface })
    const wrong = new Set([this.#result(endpoint, it, version), ...(told === undefined ? [] : [told])].flatMap((promised) => differences(promised, seen, { netns, ifname, hostInterface })))
    if (wrong.size > 0) throw new CNIError(code.failed, `${name} is not as it was added: ${[...wrong].join('; ')}`)
  }

  async #add(it: CNIRequest): Promise<Endpoint> {
    const { endpoints, regenerate } = this.#deps
    const { namespace, name } = podOf(it.args)
    const present = hasFault('cni-add-anew') ? undefined : endpoints.byContainer(it.containerId)
    if (present?.state === 'ready') return present
    const pod = await this.#pod(namespace, name)
    for (const old of endpoints.byPod(`${namespace}/${name}`)) if (old !== present) endpoints.remove(old, 'pod has a new sandbox')
    const info = podInfo(pod)
    const endpoint = present ?? endpoints.create({ containerId: it.containerId, netns: it.netns, containerInterface: it.ifname, pod: { namespace, name, uid: info.uid } })
    try {
      await regenerate(endpoint, info)
      return endpoint
    } catch (error) {
      endpoints.remove(endpoint, `CNI ADD failed: ${messageOf(error)}`)
      throw error
    }
  }

  async #pod(namespace: string, name: string): Promise<Pod> {
    try {
      return await this.#deps.client.get<Pod>(`/api/v1/namespaces/${namespace}/pods/${name}`)
    } catch (error) {
      if (isStatus(error, 404)) throw new CNIError(code.failed, `pod ${namespace}/${name} is not known to the API server: it was deleted in the meantime`, { cause: error })
      throw new CNIError(code.tryAgain, `cannot read pod ${namespace}/${name} from the API server (${messageOf(error)}); will work once it answers`, { cause: error })
    }
  }

  #result({ link, record }: Endpoint, { netns, ifname }: CNIRequest, cniVersion: string) {
    const { routerIPv4, ipv6 } = this.#deps.self
    const six = ipv6 !== undefined && record.ipv6 !== undefined ? { address: record.ipv6, router: ipv6.router } : undefined
    return {
      cniVersion,
      interfaces: [{ name: record.hostInterface, mac: link?.nodeMac ?? '' }, { name: ifname, mac: link?.mac ?? '', sandbox: netns }],
      ips: [{ version: '4', interface: 1, address: `${record.ipv4}/32`, gateway: routerIPv4 }, ...(six === undefined ? [] : [{ version: '6', interface: 1, address: `${six.address}/128`, gateway: six.router }])],
      routes: [{ dst: `${routerIPv4}/32` }, { dst: '0.0.0.0/0', gw: routerIPv4 }, ...(six === undefined ? [] : [{ dst: `${six.router}/128` }, { dst: '::/0', gw: six.router }])],
      dns: {},
    }
  }
}

function versionOf(config: string): string {
  let parsed: { cniVersion?: unknown }
  try { parsed = JSON.parse(config) as { cniVersion?: unknown } } catch (error) { throw new CNIError(code.decode, `network configuration on standard input is not JSON: ${messageOf(error)}`) }
  const version = parsed.cniVersion ?? '0.3.1'
  if (typeof version !== 'string' || !cniVersions.includes(version)) throw new CNIError(code.incompatible, `cniVersion ${JSON.stringify(version)} is not supported; these are: ${cniVersions.join(', ')}`)
  return version
}

function podOf(args: string): { namespace: string; name: string } {
  const fields = Object.fromEntries(args.split(';').map((pair) => pair.split('=', 2) as [string, string]))
  const { K8S_POD_NAMESPACE: namespace, K8S_POD_NAME: name } = fields
  if (namespace === undefined || name === undefined) throw new CNIError(code.invalidEnvironment, `CNI_ARGS ${JSON.stringify(args)} lacks K8S_POD_NAMESPACE or K8S_POD_NAME: only pods of Kubernetes are served`)
  return { namespace, name }
}
