import type { TimelineEntry } from '../core/progress.ts'
import type { Outcome, RunResult, TestResult } from '../report/types.ts'
import type { CellEvent } from './cell-events.ts'

/** What is known of a cell before it runs. */
export interface CellFacts {
  readonly id: string
  readonly name: string
  readonly agent: string
  /** Command that repeats it. */
  readonly repeat: string
}

/** What a cell told, as the result of one that could not write its own. */
export class CellRecord {
  readonly #facts: CellFacts
  readonly #began = new Date()
  readonly #start = performance.now()
  readonly #tests: TestResult[] = []
  readonly #done: TimelineEntry[] = []
  readonly #open = new Map<number, { readonly name: string; readonly startMs: number; detail: string | undefined }>()
  #release = 'not resolved'

  constructor(facts: CellFacts) {
    this.#facts = facts
  }

  hear(event: CellEvent): void {
    if (event.kind === 'kernel') this.#release = event.release
    else if (event.kind === 'test') this.#tests.push(event.result)
    else if (event.kind === 'step') this.#hearStep(event)
  }

  #hearStep({ id, name, state, detail }: CellEvent & { kind: 'step' }): void {
    const now = performance.now() - this.#start
    if (state === 'begins') this.#open.set(id, { name, startMs: now, detail })
    const step = this.#open.get(id)
    if (!step) return
    if (state === 'goes on') step.detail = detail
    if (state !== 'done' && state !== 'failed') return
    this.#open.delete(id)
    this.#done.push({ name, startMs: step.startMs, ms: now - step.startMs, ok: state === 'done', ...(detail === undefined ? {} : { note: detail }) })
  }

  /** Steps that had not ended are failed ones: they tell where it was. */
  result(outcome: Outcome): RunResult {
    const ms = performance.now() - this.#start
    const open = [...this.#open.values()].map(({ name, startMs, detail }) => ({ name, startMs, ms: ms - startMs, ok: false, note: `not ended${detail === undefined ? '' : `: ${detail}`}` }))
    const { id, name, agent, repeat } = this.#facts
    return { id, kernel: name, release: this.#release, agent, startedAt: this.#began.toISOString(), ms: Math.round(ms), outcome, tests: this.#tests, timeline: [...this.#done, ...open], command: repeat }
  }
}
