import type { V1Pod } from '@kubernetes/client-node'
import { setTimeout as delay } from 'node:timers/promises'
import { KernelbedError } from '../../core/errors.ts'
import { AbortedError } from '../../core/wait.ts'
import { explainApi, type ClusterAccess } from './access.ts'
import { imageIsNotThere, podState, type PodState } from './pod-state.ts'

/** How long what may pass by itself is waited for. */
export interface Patience {
  /** A pod that no node has room for, while no other cell of this run holds any. */
  readonly unschedulableMs: number
  /** An image that cannot be pulled. */
  readonly imageMs: number
  /** A Job without a pod: quota, admission. */
  readonly noPodMs: number
  /** An API server that does not answer. */
  readonly silentMs: number
  readonly intervalMs: number
}
export const patience: Patience = { unschedulableMs: 5 * 60_000, imageMs: 60_000, noPodMs: 30_000, silentMs: 3 * 60_000, intervalMs: 1000 }

/** Looks at a Job's pod again and again. */
export class PodWatch {
  readonly #access: ClusterAccess
  readonly #job: string
  readonly #patience: Patience
  readonly #signal: AbortSignal
  #answeredMs = performance.now()

  constructor(access: ClusterAccess, job: string, signal: AbortSignal, times: Patience) {
    this.#access = access
    this.#job = job
    this.#signal = signal
    this.#patience = times
  }

  /** Resolves with the pod's name when its container runs. `busy` tells whether other cells of this run hold what this one waits for; `say` hears what it waits for. Throws KernelbedError. */
  async running(busy: () => boolean, say: (why: string) => void): Promise<string> {
    const since = new Map<string, number>()
    /** For how long something is so, without a break. */
    const lasts = (what: string, is: boolean): number => {
      if (!is) return (since.delete(what), 0)
      if (!since.has(what)) since.set(what, performance.now())
      return performance.now() - since.get(what)!
    }
    let said = ''
    for (;; await this.#pause()) {
      const pod = await this.#pod()
      if (pod === 'no answer') continue
      if (lasts('no pod', !pod) > this.#patience.noPodMs) throw (await this.#deadline()) ?? (await this.#noPod())
      if (!pod) continue
      const state = podState(pod)
      if (state.kind === 'running') return pod.metadata!.name!
      if (state.kind === 'dead') throw (await this.#deadline()) ?? state.error
      if (state.why !== said) say((said = state.why))
      const [image, room] = [lasts('image', imageIsNotThere(pod)), lasts('room', !pod.spec?.nodeName && !busy())]
      if (state.hopeless || image > this.#patience.imageMs || room > this.#patience.unschedulableMs) throw new KernelbedError(`pod ${pod.metadata?.name} cannot begin: ${state.why}`, { blame: 'cluster', ...(state.hint === undefined ? {} : { hint: state.hint }) })
    }
  }

  /** Resolves with why it ended when the pod no longer runs; undefined when the signal is aborted. */
  async ended(signal: AbortSignal): Promise<KernelbedError | undefined> {
    for (;;) {
      try {
        await delay(this.#patience.intervalMs, undefined, { signal })
      } catch {
        return undefined
      }
      try {
        const pod = await this.#pod()
        if (pod === undefined) return (await this.#deadline()) ?? new KernelbedError(`the pod of Job ${this.#job} is gone: somebody deleted it, or its node was removed`, { blame: 'cluster', hint: 'run the cell again' })
        const state: PodState | undefined = pod === 'no answer' ? undefined : podState(pod)
        if (state?.kind === 'dead') return (await this.#deadline()) ?? state.error
      } catch (error) {
        return explainApi(error, this.#access.server)
      }
    }
  }

  async #pause(): Promise<void> {
    await delay(this.#patience.intervalMs, undefined, { signal: this.#signal }).catch(() => {
      throw new AbortedError(`the pod of Job ${this.#job}`)
    })
  }

  /** The Job's pod, if it has one. Throws when the API server has not answered for long. */
  async #pod(): Promise<V1Pod | undefined | 'no answer'> {
    const { core, namespace, server } = this.#access
    try {
      const { items } = await core.listNamespacedPod({ namespace, labelSelector: `job-name=${this.#job}` })
      this.#answeredMs = performance.now()
      return items[0]
    } catch (error) {
      if (performance.now() - this.#answeredMs > this.#patience.silentMs) throw explainApi(error, server)
      return 'no answer'
    }
  }

  /** A Job whose time is up loses its pod. */
  async #deadline(): Promise<KernelbedError | undefined> {
    const { batch, namespace } = this.#access
    const job = await batch.readNamespacedJob({ name: this.#job, namespace }).catch(() => undefined)
    if (!job?.status?.conditions?.some(({ type, status, reason }) => type === 'Failed' && status === 'True' && reason === 'DeadlineExceeded')) return undefined
    return new KernelbedError(`Job ${this.#job} was ended by the cluster: it took longer than its deadline of ${(job.spec?.activeDeadlineSeconds ?? 0) / 60} min`, { blame: 'cluster', hint: 'more --engine-deadline, or fewer suites' })
  }

  /** Why a Job has no pod is told by its events, if they may be read. */
  async #noPod(): Promise<KernelbedError> {
    const { core, namespace } = this.#access
    const events = await core.listNamespacedEvent({ namespace, fieldSelector: `involvedObject.name=${this.#job}` }).then(({ items }) => items, () => [])
    const told = events.filter(({ type }) => type === 'Warning').map(({ message }) => message ?? '').filter(Boolean)
    return new KernelbedError(`Job ${this.#job} got no pod in ${this.#patience.noPodMs / 1000} s${told.length ? `: ${told.at(-1)}` : ''}`, { blame: 'cluster', hint: told.length ? 'the namespace\'s quota or policies do not allow it' : `look at it: kubectl describe job -n ${namespace}; the cluster's Job controller may not run` })
  }
}
