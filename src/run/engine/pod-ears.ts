import { appendFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { explain } from '../../core/errors.ts'
import { AbortedError } from '../../core/wait.ts'
import type { Tell } from '../cell-events.ts'
import { explainApi, type ClusterAccess } from './access.ts'
import { followLog } from './pod-log.ts'
import { readPodLine, type PodResults } from './pod-task.ts'

/** When a connection broke, the log is read again from so long before its last line: the two clocks may differ. */
const OVERLAP_MS = 2 * 60_000

/** Hears a pod out by its log, over as many connections as it takes; each line once, by its number. */
export class PodEars {
  readonly #access: ClusterAccess
  readonly #pod: string
  readonly #file: string
  readonly #tell: Tell
  readonly #strange = new Set<string>()
  #number = 0
  #heardMs: number | undefined
  #results: PodResults | undefined

  /** Lines for people, and what the pod says otherwise, are appended to `file`. */
  constructor(access: ClusterAccess, pod: string, file: string, tell: Tell) {
    this.#access = access
    this.#pod = pod
    this.#file = file
    this.#tell = tell
  }

  /** Resolves when the pod says that its cell has ended. Throws when the signal is aborted. */
  async results(signal: AbortSignal): Promise<PodResults> {
    while (!this.#results) {
      const enough = new AbortController()
      await this.#read(true, AbortSignal.any([signal, enough.signal]), () => enough.abort()).catch((error: unknown) => this.#note(explain(explainApi(error, this.#access.server))))
      if (signal.aborted) throw new AbortedError(`pod ${this.#pod}`)
      if (!this.#results) await delay(1000, undefined, { signal }).catch(() => undefined)
    }
    return this.#results
  }

  /** Hears what a pod said last, which has ended meanwhile. Never throws. */
  async last(): Promise<void> {
    await this.#read(false, AbortSignal.timeout(10_000)).catch((error: unknown) => this.#note(explain(explainApi(error, this.#access.server))))
  }

  #read(follow: boolean, signal: AbortSignal, onResults: () => void = () => undefined): Promise<void> {
    const since = this.#heardMs === undefined ? {} : { since: new Date(this.#heardMs - OVERLAP_MS) }
    return followLog(this.#access, this.#pod, { follow, signal, ...since }, (line) => {
      this.#hear(line)
      if (this.#results) onResults()
    })
  }

  #hear(line: string): void {
    this.#heardMs = Date.now()
    const said = readPodLine(line)
    if (!said) return this.#note(line)
    if (said.number <= this.#number) return
    this.#number = said.number
    const { event } = said
    if (event.kind === 'results') this.#results = event
    else {
      if (event.kind === 'line') appendFileSync(this.#file, `${event.text}\n`)
      this.#tell(event)
    }
  }

  /** What the pod did not number (Node's own messages), and connections that failed: into the file, once. */
  #note(text: string): void {
    if (this.#strange.has(text)) return
    this.#strange.add(text)
    appendFileSync(this.#file, `${text}\n`)
  }
}
