/** A step in progress. */
export interface Step {
  /** What the step waits for now: a package name, `node2: kubelet`, `312 of 790 MB`. */
  update(detail: string): void
  done(note?: string): void
  fail(note?: string): void
}

export interface Progress {
  /** Begins a step; steps may run side by side. */
  step(name: string): Step
  /** One line for people. */
  note(line: string): void
  /** Finished steps with their times, for the report. */
  readonly timeline: readonly TimelineEntry[]
}

/** `startMs` is since the run began. */
export interface TimelineEntry { readonly name: string; readonly startMs: number; readonly ms: number; readonly ok: boolean; readonly note?: string }

/** Plain-line progress: a line when a step starts slowly, every 10 s while it goes on, and when it ends. */
export class LineProgress implements Progress {
  readonly timeline: TimelineEntry[] = []
  readonly #start = performance.now()
  readonly #write: (line: string) => void

  constructor(write: (line: string) => void = (line) => process.stderr.write(`${line}\n`)) {
    this.#write = write
  }

  note(line: string): void {
    this.#write(line)
  }

  step(name: string): Step {
    const start = performance.now()
    let detail = ''
    const elapsed = (): string => `${((performance.now() - start) / 1000).toFixed(1)} s`
    const timer = setInterval(() => this.#write(`  … ${name} (${elapsed()}${detail ? `; ${detail}` : ''})`), 10_000)
    timer.unref()
    const end = (ok: boolean, note?: string): void => {
      clearInterval(timer)
      this.timeline.push({ name, startMs: start - this.#start, ms: performance.now() - start, ok, ...(note === undefined ? {} : { note }) })
      this.#write(`${ok ? '✓' : '✗'} ${name} ${elapsed()}${note ? ` (${note})` : ''}`)
    }
    return { update: (text) => void (detail = text), done: (note) => end(true, note), fail: (note) => end(false, note) }
  }
}

/** Runs `body` as a step; a throw marks it failed and is passed on. */
export async function inStep<T>(progress: Progress, name: string, body: (step: Step) => Promise<T>): Promise<T> {
  const step = progress.step(name)
  try {
    const value = await body(step)
    step.done()
    return value
  } catch (error) {
    step.fail()
    throw error
  }
}
