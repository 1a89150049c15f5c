import { hasFault } from '../fault.ts'
import { isStatus, type KubeClient } from '../k8s/client.ts'
import type { Informer } from '../k8s/informer.ts'
import type { CiliumEndpoint, CiliumIdentity, KubeList } from '../k8s/types.ts'
import type { Logger } from '../log.ts'
import { identitiesPath, isMarked, unusedMark } from './allocator.ts'
import { firstAllocated } from './reserved.ts'

const endpointsPath = '/apis/cilium.io/v2/ciliumendpoints'

export interface CollectorDeps {
  client: KubeClient; identities: Informer<CiliumIdentity>; ciliumEndpoints: Informer<CiliumEndpoint>; log: Logger
  /** Identities of this node's endpoints, published or not. */
  own: () => number[]
  /** How long a marked identity must stay as it is before it goes. */
  graceMs: number
  /** Milliseconds of a clock that only goes forward. */
  now?: () => number
}

/**
 * Removes identities that no endpoint of the cluster has. Every agent looks; none leads. One that is unused is marked first: whoever takes it takes the mark away (allocator.ts), which
 * makes another version of it. It goes only when the version with the mark stood for the grace time and the API server, asked anew, knows no endpoint with it; and only that version.
 * Time is this node's own: clocks may differ. Should one go all the same that an agent has just taken from an old copy, that agent makes it again, by the same number (a hash of its labels).
 */
export class IdentityCollector {
  readonly #deps: CollectorDeps
  /** By name: the version that bears the mark, and since when it is known here. */
  readonly #marked = new Map<string, { version: string; since: number }>()
  constructor(deps: CollectorDeps) { this.#deps = deps }

  /** One look. Returns how many went. */
  async collect(): Promise<number> {
    if (hasFault('identity-never-collected')) return 0
    const { identities, ciliumEndpoints, own } = this.#deps
    const used = new Set([...own(), ...idsOf(ciliumEndpoints.list())])
    const allocated = identities.list().filter(({ metadata: { name } }) => Number(name) >= firstAllocated)
    for (const name of this.#marked.keys()) if (!allocated.some(({ metadata }) => metadata.name === name)) this.#marked.delete(name)
    const due: CiliumIdentity[] = []
    for (const object of allocated) {
      const inUse = used.has(Number(object.metadata.name))
      if (inUse) await this.#spare(object)
      else if (!isMarked(object)) await this.#mark(object)
      else if (this.#stood(object)) due.push(object)
    }
    return this.#remove(due)
  }

  async #remove(due: CiliumIdentity[]): Promise<number> {
    if (due.length === 0) return 0
    const { client, log } = this.#deps
    const list = await client.get<KubeList<CiliumEndpoint>>(endpointsPath)
    const used = new Set(idsOf(list.items ?? []))
    let removed = 0
    for (const object of due) {
      const { name, resourceVersion = '' } = object.metadata
      if (used.has(Number(name))) { await this.#spare(object); continue }
      if (!await client.deleteVersion(`${identitiesPath}/${name}`, resourceVersion)) continue
      this.#marked.delete(name)
      removed++
      log.info('Removed identity that no endpoint has', { identity: Number(name), identityLabels: Object.entries(object['security-labels'] ?? {}).map(([key, value]) => `${key}=${value}`).join(',') })
    }
    return removed
  }

  /** Whether its marked version has been known here for the grace time; begins to count if it is new here. */
  #stood({ metadata: { name, resourceVersion = '' } }: CiliumIdentity): boolean {
    const seen = this.#marked.get(name)
    if (seen?.version === resourceVersion) return this.#now() - seen.since >= this.#deps.graceMs
    this.#marked.set(name, { version: resourceVersion, since: this.#now() })
    return false
  }

  async #mark(object: CiliumIdentity): Promise<void> {
    const { name, resourceVersion } = object.metadata
    const marked = await this.#annotate(name, { annotations: { [unusedMark]: 'true' }, ...(resourceVersion === undefined ? {} : { resourceVersion }) })
    if (marked?.metadata.resourceVersion !== undefined) this.#marked.set(name, { version: marked.metadata.resourceVersion, since: this.#now() })
  }

  async #spare(object: CiliumIdentity): Promise<void> {
    this.#marked.delete(object.metadata.name)
    if (isMarked(object)) await this.#annotate(object.metadata.name, { annotations: { [unusedMark]: null } })
  }

  /** Undefined when another agent was faster. */
  async #annotate(name: string, metadata: object): Promise<CiliumIdentity | undefined> {
    return this.#deps.client.mergePatch<CiliumIdentity>(`${identitiesPath}/${name}`, { metadata }).catch((error: unknown) => {
      if (isStatus(error, 409) || isStatus(error, 404)) return undefined
      throw error
    })
  }

  #now(): number { return (this.#deps.now ?? (() => performance.now()))() }
}

const idsOf = (endpoints: CiliumEndpoint[]): number[] => endpoints.flatMap(({ status }) => status?.identity?.id ?? [])
