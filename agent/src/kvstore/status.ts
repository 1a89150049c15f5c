import type { State } from '../api/models.ts'
import { hasFault } from '../fault.ts'
import { sleep } from '../sleep.ts'
import type { EndpointStatus, Kvstore } from './client.ts'
import type { Mirror } from './mirror.ts'

/** Milliseconds between looks, by how things are. */
const every = { well: 30_000, ill: 3_000 }

/** What `cilium status` says of etcd, in Cilium's words. etcd is asked now and then, and whenever the mirror loses or finds it. */
export class EtcdStatus {
  readonly #store: Kvstore
  readonly #mirror: Mirror
  readonly #stop = new AbortController()
  #turned = new AbortController()
  #endpoints: EndpointStatus[] | undefined

  constructor(store: Kvstore, mirror: Mirror) {
    this.#store = store
    this.#mirror = mirror
    mirror.onTurn(() => this.#turned.abort())
  }

  /** Runs until `stop`. */
  async run(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      this.#turned = new AbortController()
      this.#endpoints = await this.#store.status()
      await sleep(this.model().state === 'Ok' ? every.well : every.ill, AbortSignal.any([signal, this.#turned.signal]))
    }
  }

  stop(): void { this.#stop.abort() }

  model(): State {
    const endpoints = this.#endpoints ?? this.#store.endpoints.map((endpoint): EndpointStatus => ({ endpoint, error: 'not asked yet' }))
    const connected = endpoints.filter(({ error }) => error === undefined).length
    const text = `etcd: ${connected}/${endpoints.length} connected: ${endpoints.map(lineOf).join('; ')}`
    const wrong = connected === 0 ? 'Not able to connect to any etcd endpoints' : this.#mirror.error
    if (wrong === undefined || hasFault('kvstore-hides-loss')) return { state: 'Ok', msg: text }
    return { state: 'Failure', msg: `Err: ${wrong} - ${text}` }
  }
}

const lineOf = ({ endpoint, version, leader, error }: EndpointStatus): string => `${endpoint} - ${error ?? `${version}${leader ? ' (Leader)' : ''}`}`
