import type { CellEvent } from '../cell-events.ts'
import { podLine, type PodEvent } from './pod-task.ts'

/** A step that goes on is told once in that time: the node's log of a container is kept whole only up to some megabytes. */
const GOES_ON_MS = 1000

/** Numbers what a pod says, and says it. */
export class PodVoice {
  readonly #write: (text: string) => void
  readonly #went = new Map<number, number>()
  #number = 0

  constructor(write: (text: string) => void) {
    this.#write = write
  }

  line(text: string): void {
    for (const line of text.split('\n')) this.#say({ kind: 'line', text: line })
  }

  /** `begin` tells of a process that only the pod can see. */
  tell(event: PodEvent): void {
    if (event.kind === 'line') this.line(event.text)
    else if (event.kind !== 'begin' && !this.#tooSoon(event)) this.#say(event)
  }

  #tooSoon(event: PodEvent): boolean {
    if (event.kind !== 'step' || event.state !== 'goes on') return false
    const now = performance.now()
    if (now - (this.#went.get(event.id) ?? -Infinity) < GOES_ON_MS) return true
    this.#went.set(event.id, now)
    return false
  }

  #say(event: PodEvent | CellEvent): void {
    this.#write(`${podLine(++this.#number, event)}\n`)
  }
}
