import type { RunResult } from '../report/types.ts'
import type { CellEvent, Phase } from './cell-events.ts'

export interface Span { readonly startMs: number; endMs?: number }
export interface SuiteCount { readonly tests: number; passed: number; failed: number; skipped: number }

/** A cell as the live table shows it: what its events said so far. Times are those the caller gives. */
export class CellState {
  readonly name: string
  readonly unavailable: string | undefined
  readonly phases = new Map<Phase, Span>()
  readonly suites = new Map<string, SuiteCount>()
  /** The suite whose tests run now. */
  suite: string | undefined
  beganMs: number | undefined
  endedMs: number | undefined
  result: RunResult | undefined
  readonly #steps = new Map<number, { readonly name: string; detail: string | undefined }>()

  constructor(name: string, unavailable?: string) {
    this.name = name
    this.unavailable = unavailable
  }

  hear(event: CellEvent, now: number): void {
    if (event.kind === 'phase') {
      this.#leavePhase(now)
      this.phases.set(event.phase, { startMs: now })
    } else if (event.kind === 'step') {
      if (event.state === 'done' || event.state === 'failed') this.#steps.delete(event.id)
      else this.#steps.set(event.id, { name: event.name, detail: event.detail })
    } else if (event.kind === 'suite') {
      this.suites.set((this.suite = event.suite), { tests: event.tests, passed: 0, failed: 0, skipped: 0 })
    } else if (event.kind === 'test') {
      const count = this.suites.get(event.result.suite) ?? { tests: 0, passed: 0, failed: 0, skipped: 0 }
      count[event.result.status]++
      this.suites.set((this.suite = event.result.suite), count)
    }
  }

  began(now: number): void {
    this.beganMs = now
  }

  ended(result: RunResult, now: number): void {
    this.#leavePhase(now)
    this.#steps.clear()
    this.result = result
    this.endedMs = now
  }

  /** The phase it is in; undefined before the first and after the last. */
  get phase(): Phase | undefined {
    return [...this.phases].find(([, span]) => span.endMs === undefined)?.[0]
  }

  /** What it does now: the step that began last. */
  get doing(): string | undefined {
    const step = [...this.#steps.values()].at(-1)
    return step && (step.detail === undefined ? step.name : `${step.name}: ${step.detail}`)
  }

  get counts(): { passed: number; failed: number; skipped: number } {
    const sum = (key: 'passed' | 'failed' | 'skipped'): number => [...this.suites.values()].reduce((total, count) => total + count[key], 0)
    return { passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') }
  }

  #leavePhase(now: number): void {
    for (const span of this.phases.values()) span.endMs ??= now
  }
}
