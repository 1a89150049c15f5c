/** An assertion; a wait for something that the agent must do, which told what it saw instead; or anything else that broke, which judges nothing. */
export type FailedBy = 'assertion' | 'wait' | 'error'

/** What became of one test. */
export interface TestResult {
  /** Name of the suite file without `.test.ts`: `policy`. */
  readonly suite: string
  /** Describe blocks and test name, joined by ` > `. */
  readonly name: string
  readonly status: 'passed' | 'failed' | 'skipped'
  readonly ms: number
  /** Since the run began; absent in results of older versions. */
  readonly startMs?: number
  /** Why it failed, without a stack trace; or why it was skipped. */
  readonly message?: string
  /** `suites/policy.test.ts:40` of the failed line. */
  readonly location?: string
  /** What failed it; absent in results of older versions. */
  readonly by?: FailedBy
  /** What the test found worth telling (Vitest's `annotate`), whatever became of it. */
  readonly notes?: readonly string[]
}

/** What the suites' process tells the runner, one JSON a line on its file descriptor 3. */
export type SuiteMessage =
  | { readonly kind: 'suite'; readonly suite: string; readonly tests: number }
  /** `startedAt` is the time of day, in milliseconds since 1970. */
  | { readonly kind: 'test'; readonly result: TestResult; readonly startedAt?: number }
  | { readonly kind: 'error'; readonly message: string }
  | { readonly kind: 'end'; readonly ok: boolean }

/** `unavailable`: the kernel cannot be had here and was only asked for by `--kernel all`; nothing was started. */
export type Outcome = 'passed' | 'failed' | 'error' | 'stopped' | 'unavailable'

/** A suite that was not run on this kernel, and why. */
export interface NotRun { readonly suite: string; readonly reason: string }

/** One run on one kernel: a cell of the matrix. Written to `result.json` in the run folder. */
export interface RunResult {
  readonly id: string
  readonly kernel: string
  readonly release: string
  readonly agent: string
  readonly startedAt: string
  readonly ms: number
  readonly outcome: Outcome
  /** Set when a stage failed before or beside the tests: the explained error; or why the kernel cannot be had. */
  readonly error?: string
  /** What is worth knowing of a run that passed: `refused, as expected: …`. */
  readonly note?: string
  readonly tests: readonly TestResult[]
  readonly notRun?: readonly NotRun[]
  readonly timeline: readonly { readonly name: string; readonly startMs: number; readonly ms: number; readonly ok: boolean; readonly note?: string }[]
  /** Command that repeats this cell. */
  readonly command: string
}
