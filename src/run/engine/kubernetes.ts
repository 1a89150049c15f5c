import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from '../../core/context.ts'
import { explain, KernelbedError } from '../../core/errors.ts'
import { tailOf } from '../../core/service.ts'
import { loadResult } from '../../report/load.ts'
import type { RunResult } from '../../report/types.ts'
import type { Tell } from '../cell-events.ts'
import { CellRecord, type CellFacts } from '../cell-record.ts'
import { codeOf, writeCell } from '../cell-results.ts'
import { projectDir } from '../places.ts'
import { assertRights, explainApi, openAccess, type ClusterAccess } from './access.ts'
import type { CellJob, Engine } from './engine.ts'
import type { KubernetesEngineOptions } from './engine-options.ts'
import { podCommand } from './inputs.ts'
import { jobName, jobOf } from './job.ts'
import { PodEars } from './pod-ears.ts'
import type { PodTask } from './pod-task.ts'
import { patience, PodWatch, type Patience } from './pod-watch.ts'
import { removeJob } from './remove-job.ts'
import { fetchResults, sendFiles } from './transfer.ts'
import type { E2eOptions } from '../options.ts'

/**
 * Opens the cluster of `--engine kubernetes`, after asking whether all that its cells need is allowed there, and whether a Job of theirs would be taken. Nothing is made. Throws a usage error for a bad kubeconfig or a cell that
 * cannot run elsewhere, KernelbedError (cluster) for a cluster that is out of reach or does not allow it.
 */
export async function kubernetesEngine(options: E2eOptions, engine: KubernetesEngineOptions, times: Patience = patience): Promise<Engine> {
  const access = openAccess(engine)
  const commands = new Map(options.cells.filter((cell) => cell.unavailable === undefined).map((cell) => [cell.name, podCommand(cell, options)]))
  await assertRights(access)
  const [first] = commands
  if (first) await dryRun(access, first[0], first[1].args, options, engine)
  return new KubernetesEngine(access, engine, times)
}

async function dryRun({ batch, namespace, server }: ClusterAccess, name: string, args: readonly string[], options: E2eOptions, engine: KubernetesEngineOptions): Promise<void> {
  const body = jobOf({ id: 'dry-run', name, agent: options.agent, repeat: '', optional: false, inputs: false }, args, options, engine)
  await batch.createNamespacedJob({ namespace, body, dryRun: 'All' }).catch((error: unknown) => {
    throw explainApi(error, server, `a Job in namespace ${namespace}`)
  })
}

/** Cells as Jobs of a cluster: made, followed by their pod's log, their folders fetched, removed. */
class KubernetesEngine implements Engine {
  readonly #access: ClusterAccess
  readonly #engine: KubernetesEngineOptions
  readonly #patience: Patience
  /** Jobs whose pod has what it needs. */
  readonly #running = new Set<string>()

  constructor(access: ClusterAccess, engine: KubernetesEngineOptions, times: Patience) {
    this.#access = access
    this.#engine = engine
    this.#patience = times
  }

  /** Which kernels can be had is found out where the cells run. */
  settle(cells: CellJob['options']['cells']): Promise<CellJob['options']['cells']> {
    return Promise.resolve(cells)
  }

  prepare(): Promise<void> {
    return Promise.resolve()
  }

  /** The cluster's scheduler knows best what it has room for. */
  atOnce(cells: number, { jobs }: E2eOptions): number {
    return Math.max(1, Math.min(jobs ?? cells, cells))
  }

  async run(job: CellJob, facts: CellFacts, ctx: Context, tell: Tell): Promise<RunResult> {
    mkdirSync(join(job.dir, 'logs'), { recursive: true })
    const record = new CellRecord(facts)
    const hear: Tell = (event) => {
      record.hear(event)
      tell(event)
    }
    let result: RunResult
    try {
      result = await this.#inPod(job, facts, ctx, hear)
    } catch (error) {
      result = ctx.signal.aborted ? record.result('stopped') : { ...record.result('error'), error: explain(error) }
    }
    writeCell(job.dir, result)
    return result
  }

  async #inPod({ cell, dir, options }: CellJob, facts: CellFacts, ctx: Context, tell: Tell): Promise<RunResult> {
    const { batch, namespace, server, kubeconfig } = this.#access
    const { args, files } = podCommand(cell, options)
    const task: PodTask = { id: facts.id, name: facts.name, agent: facts.agent, repeat: facts.repeat, optional: cell.optional === true, inputs: files.length > 0 }
    const name = jobName(task)
    const claim = ctx.registry.claim(`Job ${namespace}/${name}`, () => removeJob(this.#access, name))
    claim.hold({ kind: 'command', argv: [process.execPath, join(projectDir, 'src/run/engine/remove-main.ts'), kubeconfig, namespace, name] })
    try {
      await batch.createNamespacedJob({ namespace, body: jobOf(task, args, options, this.#engine) }).catch((error: unknown) => {
        throw explainApi(error, server, `a Job in namespace ${namespace}`)
      })
      tell({ kind: 'line', text: `Job ${namespace}/${name}` })
      const watch = new PodWatch(this.#access, name, ctx.signal, this.#patience)
      const pod = await watch.running(() => this.#running.size > 0, (why) => tell({ kind: 'line', text: `the pod waits: ${why}` }))
      this.#running.add(name)
      tell({ kind: 'line', text: `pod ${pod} runs` })
      return await this.#followed(pod, watch, files, { dir, facts }, ctx, tell)
    } finally {
      this.#running.delete(name)
      await claim.release().catch((error: unknown) => ctx.progress.note(explain(error)))
    }
  }

  /** Of a pod that runs: sends what it waits for, hears it out, and fetches its folder. */
  async #followed(pod: string, watch: PodWatch, files: Parameters<typeof sendFiles>[2], { dir, facts }: { dir: string; facts: CellFacts }, ctx: Context, tell: Tell): Promise<RunResult> {
    const log = join(dir, 'logs', 'pod.log')
    writeFileSync(log, '')
    const stop = new AbortController()
    const signal = AbortSignal.any([ctx.signal, stop.signal])
    const ears = new PodEars(this.#access, pod, log, tell)
    const work = async (): Promise<RunResult> => {
      if (files.length) await sendFiles(this.#access, pod, files, { ...ctx, signal })
      const results = await ears.results(signal)
      await fetchResults(this.#access, pod, results, dir, { ...ctx, signal })
      return this.#result(dir, results.code, facts)
    }
    const died = watch.ended(signal).then(async (error): Promise<RunResult> => {
      // Aborted: the other one tells how it went.
      if (error === undefined) return await new Promise<never>(() => undefined)
      await ears.last()
      throw new KernelbedError(error.message, { blame: error.blame, ...(error.hint === undefined ? {} : { hint: error.hint }), details: [error.details, tailOf(log, 15)].filter(Boolean).join('\n') })
    })
    try {
      return await Promise.race([work(), died])
    } finally {
      stop.abort()
    }
  }

  /** What came back; the runner's own name and command for it. */
  #result(dir: string, code: number, facts: CellFacts): RunResult {
    const left = loadResult(dir)
    if (codeOf(left) !== code) throw new KernelbedError(`the pod of kernel ${facts.name} ended with exit code ${code} although its result is "${left.outcome}"`, { blame: 'cluster' })
    return { ...left, id: facts.id, kernel: facts.name, command: facts.repeat }
  }
}
