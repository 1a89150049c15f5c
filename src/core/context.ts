import type { Registry } from './registry.ts'
import type { Progress } from './progress.ts'

/** What every stage is handed: who owns its resources, where things go, and how to say what takes long. */
export interface Context {
  /** Owner of every process, socket and folder of the run; a resource is registered before it starts. */
  readonly registry: Registry
  /** Long steps are shown through it, with elapsed time and what they wait for. */
  readonly progress: Progress
  /** This run's folder, `.kernelbed/runs/<id>`; logs of long-lived processes go to `<dir>/logs`. */
  readonly dir: string
  /** Short folder for Unix sockets (their paths are limited to 107 bytes), removed with the run. */
  readonly sockets: string
  /** `${XDG_CACHE_HOME:-~/.cache}/kernelbed`; entries are by content and safe to delete. */
  readonly cache: string
  /** Aborted on Ctrl-C or when the run fails elsewhere; every wait and child process honours it. */
  readonly signal: AbortSignal
}
