import { isStatus, type KubeClient } from '../k8s/client.ts'
import type { Informer } from '../k8s/informer.ts'
import type { CiliumIdentity, KubeList } from '../k8s/types.ts'
import { labelsFromMap, labelsHash, labelsToMap, type Labels } from './labels.ts'
import { allocatable, candidate, firstAllocated, reservedIdentities, type Identity } from './reserved.ts'

export const identitiesPath = '/apis/cilium.io/v2/ciliumidentities'
/** Annotation of an identity that nobody used when an agent looked (collector.ts); whoever takes the identity removes it. */
export const unusedMark = 'cilium.io/unused'
export const isMarked = ({ metadata: { annotations } }: CiliumIdentity): boolean => annotations?.[unusedMark] !== undefined
/** Label values have at most 63 characters of a narrow set, so lists are by a hash of the security labels. */
const hashLabel = 'cilium.io/labels-hash'

const identityOf = (object: CiliumIdentity): Identity => ({ id: Number(object.metadata.name), labels: labelsFromMap(object['security-labels'] ?? {}) })

/** Objects whose name is no identity were made by somebody else. */
const identitiesOf = (objects: CiliumIdentity[]): Identity[] => objects.map(identityOf).filter(({ id }) => Number.isInteger(id) && id >= firstAllocated)

const lowestOf = (objects: CiliumIdentity[], labels: Labels): number | undefined => {
  const ids = identitiesOf(objects).filter((identity) => identity.labels.join(';') === labels.join(';')).map(({ id }) => id)
  return ids.length === 0 ? undefined : Math.min(...ids)
}

/** All known identities: reserved ones and those of the cluster, by number. Where labels have several, the lowest counts. */
export function knownIdentities(informer: Informer<CiliumIdentity>): Map<number, Labels> {
  return new Map([...reservedIdentities, ...identitiesOf(informer.list())].map(({ id, labels }) => [id, labels]))
}

/**
 * Allocates an identity for a set of labels, once in the cluster. The number tried first is a hash of the labels, so two agents that
 * race for the same labels meet at the same name and the API server decides; on a collision with other labels the next number is
 * tried. Should two identities with the same labels still arise (a number freed in between), the lowest wins everywhere and
 * its creator withdraws the other.
 */
export class IdentityAllocator {
  readonly #client: KubeClient
  readonly #informer: Informer<CiliumIdentity>
  constructor(client: KubeClient, informer: Informer<CiliumIdentity>) { this.#client = client; this.#informer = informer }

  /** The identity these labels have as far as is known here; not one that may be about to go: that must be allocated. */
  lookup(labels: Labels): number | undefined {
    const id = lowestOf(this.#informer.list(), labels)
    const object = id === undefined ? undefined : this.#informer.get(String(id))
    return object === undefined || isMarked(object) ? undefined : id
  }

  async allocate(labels: Labels): Promise<number> {
    const known = lowestOf(this.#informer.list(), labels)
    if (known !== undefined && await this.#take(this.#informer.get(String(known)))) return known
    const created = await this.#create(labels)
    const lowest = await this.#lowest(labels)
    if (lowest === undefined || lowest >= created) return created
    await this.#client.delete(`${identitiesPath}/${created}`)
    return lowest
  }

  /** Keeps an identity from being collected. False when it is gone. */
  async #take(object: CiliumIdentity | undefined): Promise<boolean> {
    if (object === undefined) return false
    if (!isMarked(object)) return true
    try {
      await this.#client.mergePatch(`${identitiesPath}/${object.metadata.name}`, { metadata: { annotations: { [unusedMark]: null } } })
      return true
    } catch (error) {
      if (isStatus(error, 404)) return false
      throw error
    }
  }

  async #create(labels: Labels): Promise<number> {
    for (let step = 0; step < allocatable; step++) {
      const id = candidate(labels, step)
      try {
        await this.#client.create(identitiesPath, this.#object(id, labels))
        return id
      } catch (error) {
        if (!isStatus(error, 409)) throw error
        const other = await this.#client.get<CiliumIdentity>(`${identitiesPath}/${id}`).catch((gone: unknown) => { if (isStatus(gone, 404)) return undefined; throw gone })
        if (other !== undefined && identityOf(other).labels.join(';') === labels.join(';') && await this.#take(other)) return id
      }
    }
    throw new Error(`all ${allocatable} identities are taken: delete unused CiliumIdentity objects (kubectl get ciliumidentities)`)
  }

  async #lowest(labels: Labels): Promise<number | undefined> {
    const list = await this.#client.get<KubeList<CiliumIdentity>>(identitiesPath, { labelSelector: `${hashLabel}=${hashOf(labels)}` })
    return lowestOf(list.items ?? [], labels)
  }

  #object(id: number, labels: Labels): CiliumIdentity {
    return { apiVersion: 'cilium.io/v2', kind: 'CiliumIdentity', metadata: { name: String(id), labels: { [hashLabel]: hashOf(labels) } }, 'security-labels': labelsToMap(labels) }
  }
}

const hashOf = (labels: Labels): string => labelsHash(labels).slice(0, 40)
