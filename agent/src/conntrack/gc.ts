import type { ConntrackSweep, Datapath, ProtocolCounts } from '../datapath/types.ts'
import type { Logger } from '../log.ts'
import { Controller } from '../reconcile/controller.ts'

/** Shares of a table's capacity. From `soon` on it is swept more often, from `full` on the status says so. */
const fill = { soon: 0.75, full: 0.9 }
/** How much more often. */
const hurry = 6

export interface ConntrackGCDeps { datapath: Pick<Datapath, 'collectConntrack'>; intervalMs: number; log: Logger }

const sum = ({ tcp, other }: ProtocolCounts): number => tcp + other

/** How full a table is after a sweep, 0 to 1. */
const fillOf = ({ alive, capacity }: ConntrackSweep): number => sum(alive) / capacity

/** Removes expired connections from now on, until `stop`, and tells when there is no room for more. */
export class ConntrackGC {
  readonly controllers: Controller[]
  readonly #deps: ConntrackGCDeps
  readonly #gc: Controller
  #sweeps: ConntrackSweep[] = []
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(deps: ConntrackGCDeps) {
    const { log } = this.#deps = deps
    this.#gc = new Controller('conntrack-gc', () => this.#collect(), log, 'datapath')
    // Apart, for it is tried again at once and then less and less often, which is no way to sweep.
    const pressure = new Controller('conntrack-pressure', () => this.#check(), log)
    this.#gc.onRun(() => pressure.trigger())
    this.controllers = [this.#gc, pressure]
    this.#schedule()
  }

  /** What the last run found; empty before the first. */
  get sweeps(): readonly ConntrackSweep[] { return this.#sweeps }

  get runs(): { success: number; failure: number } {
    const { successes: success, failures: failure } = this.#gc.status
    return { success, failure }
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  #schedule(): void {
    const pause = this.#fullest() >= fill.soon ? this.#deps.intervalMs / hurry : this.#deps.intervalMs
    this.#timer = setTimeout(() => { void this.#gc.settle().then(() => { if (!this.#stopped) this.#schedule() }) }, pause)
  }

  async #collect(): Promise<void> {
    this.#sweeps = await this.#deps.datapath.collectConntrack()
    for (const { table, alive, deleted } of this.#sweeps) if (sum(deleted) > 0) this.#deps.log.debug('Removed expired connections', { table, count: sum(deleted), left: sum(alive) })
  }

  #fullest(): number { return Math.max(0, ...this.#sweeps.map(fillOf)) }

  /** In steps of five in a hundred: a message that changed at every sweep would be logged each time. */
  #check(): void {
    const full = this.#sweeps.filter((sweep) => fillOf(sweep) >= fill.full)
    if (full.length === 0) return
    const tables = full.map((sweep) => `${sweep.table} is ${Math.min(100, Math.floor(fillOf(sweep) * 20) * 5)} % full (${sweep.capacity} connections)`)
    throw new Error(`${tables.join(', ')}: beyond that new connections are dropped (CT: Map insertion failed); set bpf-ct-global-tcp-max higher in ConfigMap cilium-config, or see who opens so many: cilium bpf ct list global`)
  }
}
