import type { Progress } from '../core/progress.ts'
import type { TestResult } from '../report/types.ts'

/** Where a cell is on its way; in this order. */
export const phases = ['kernel', 'machines', 'cluster', 'agent', 'suites', 'results'] as const
export type Phase = (typeof phases)[number]

/** What a cell tells while it runs: one JSON a line on file descriptor 3 of its process. */
export type CellEvent =
  /** `reaper` cleans up after the cell's process, whatever ends it, and then ends. */
  | { readonly kind: 'begin'; readonly reaper: { readonly pid: number; readonly startTime: string } }
  | { readonly kind: 'phase'; readonly phase: Phase }
  | { readonly kind: 'kernel'; readonly release: string }
  /** A step of the timeline; steps run side by side, `id` tells them apart. */
  | { readonly kind: 'step'; readonly id: number; readonly name: string; readonly state: 'begins' | 'goes on' | 'done' | 'failed'; readonly detail?: string }
  /** A line for people, as a run of one kernel prints it. */
  | { readonly kind: 'line'; readonly text: string }
  | { readonly kind: 'suite'; readonly suite: string; readonly tests: number }
  | { readonly kind: 'test'; readonly result: TestResult }

export type Tell = (event: CellEvent) => void

/** Progress that is also told as events. */
export function toldProgress(inner: Progress, tell: Tell): Progress {
  let steps = 0
  return {
    timeline: inner.timeline,
    note: (line) => inner.note(line),
    step: (name) => {
      const id = ++steps
      const step = inner.step(name)
      const say = (state: (CellEvent & { kind: 'step' })['state'], detail?: string): void => tell({ kind: 'step', id, name, state, ...(detail === undefined ? {} : { detail }) })
      say('begins')
      return {
        update: (detail) => {
          step.update(detail)
          say('goes on', detail)
        },
        done: (note) => {
          step.done(note)
          say('done', note)
        },
        fail: (note) => {
          step.fail(note)
          say('failed', note)
        },
      }
    },
  }
}
