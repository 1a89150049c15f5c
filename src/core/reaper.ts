import { spawn, type ChildProcess } from 'node:child_process'
import { Socket } from 'node:net'
import { ownerVariable } from './owned.ts'
import type { Guard, Owned } from './registry.ts'

/** Lines of JSON from the runner to the reaper. */
export type ReaperMessage = { readonly hold: Owned } | { readonly drop: Owned } | { readonly letGo: true }

/**
 * A process outside the runner that holds a pipe to it. When the pipe closes without `letGo`, the runner is dead (SIGKILL, crash), and
 * the reaper ends what was held, and every other descendant of the run: processes at once, then paths. Its own failure is reported on the runner's stderr.
 */
export class Reaper implements Guard {
  readonly #child: ChildProcess

  /** `run` is the run's id, which its processes carry in their environment (owned.ts). */
  constructor(run: string) {
    const { [ownerVariable]: _mark, ...env } = process.env
    this.#child = spawn(process.execPath, [new URL('./reaper-main.ts', import.meta.url).pathname, run], { detached: true, stdio: ['pipe', 'ignore', 'inherit'], env })
    this.#child.unref()
    const pipe = this.#child.stdin
    pipe?.on('error', () => undefined)
    if (pipe instanceof Socket) pipe.unref()
  }

  /** Undefined when it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid
  }

  hold(owned: Owned): void {
    this.#send({ hold: owned })
  }

  drop(owned: Owned): void {
    this.#send({ drop: owned })
  }

  /** What is held stays when this process ends (`--keep`, or everything has been released). */
  letGo(): Promise<void> {
    return new Promise((resolve) => {
      this.#child.ref()
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) return resolve()
      this.#child.once('exit', () => resolve())
      this.#child.stdin?.end(`${JSON.stringify({ letGo: true } satisfies ReaperMessage)}\n`)
    })
  }

  #send(message: ReaperMessage): void {
    this.#child.stdin?.write(`${JSON.stringify(message)}\n`)
  }
}
