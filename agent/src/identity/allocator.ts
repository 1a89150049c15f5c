import { isStatus, type KubeClient } from '../k8s/client.ts'
import type { Informer } from '../k8s/informer.ts'
import type { CiliumIdentity, KubeList } from '../k8s/types.ts'
import { labelsFromMap, labelsHash, labelsToMap, type Labels } from './labels.ts'
import { firstAllocated, lastAllocated, reservedIdentities, type Identity } from './reserved.ts'

const path = '/apis/cilium.io/v2/ciliumidentities'
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

  /** The identity these labels have as far as is known here. */
  lookup(labels: Labels): number | undefined { return lowestOf(this.#informer.list(), labels) }

  async allocate(labels: Labels): Promise<number> {
    const known = this.lookup(labels)
    if (known !== undefined) return known
    const created = await this.#create(labels)
    const lowest = await this.#lowest(labels)
    if (lowest === undefined || lowest >= created) return created
    await this.#client.delete(`${path}/${created}`)
    return lowest
  }

  async #create(labels: Labels): Promise<number> {
    const size = lastAllocated - firstAllocated + 1
    const start = Number.parseInt(labelsHash(labels).slice(0, 8), 16) % size
    for (let step = 0; step < size; step++) {
      const id = firstAllocated + ((start + step) % size)
      try {
        await this.#client.create(path, this.#object(id, labels))
        return id
      } catch (error) {
        if (!isStatus(error, 409)) throw error
        const other = await this.#client.get<CiliumIdentity>(`${path}/${id}`).catch((gone: unknown) => { if (isStatus(gone, 404)) return undefined; throw gone })
        if (other !== undefined && identityOf(other).labels.join(';') === labels.join(';')) return id
      }
    }
    throw new Error(`all ${size} identities are taken: delete unused CiliumIdentity objects (kubectl get ciliumidentities)`)
  }

  async #lowest(labels: Labels): Promise<number | undefined> {
    const list = await this.#client.get<KubeList<CiliumIdentity>>(path, { labelSelector: `${hashLabel}=${hashOf(labels)}` })
    return lowestOf(list.items ?? [], labels)
  }

  #object(id: number, labels: Labels): CiliumIdentity {
    return { apiVersion: 'cilium.io/v2', kind: 'CiliumIdentity', metadata: { name: String(id), labels: { [hashLabel]: hashOf(labels) } }, 'security-labels': labelsToMap(labels) }
  }
}

const hashOf = (labels: Labels): string => labelsHash(labels).slice(0, 40)
