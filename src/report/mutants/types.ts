import type { RunResult } from '../types.ts'

/** A suite that caught a fault, and its tests that did. */
export interface CaughtBy { readonly suite: string; readonly tests: readonly { readonly name: string; readonly message: string; /** By a wait for what the agent must do, not by an assertion. */ readonly waited: boolean }[] }

/** A seeded fault and what became of it. `crashed`: its run went wrong, but nothing that failed was a verdict. */
export interface JudgedFault {
  readonly name: string
  readonly does: string
  readonly verdict: 'caught' | 'survived' | 'crashed' | 'not run'
  /** Why it was not caught. */
  readonly why?: string
  readonly caught: readonly CaughtBy[]
  /** Suites that should catch it, and did not. */
  readonly missed: readonly string[]
  readonly result?: RunResult
  /** Of its run, in the folder of the reports. */
  readonly folder?: string
}
