import { join } from 'node:path'
import { findDriver, type StartedAgent } from '../agent/index.ts'
import { makeImagesDisk, startCluster, type StartedCluster } from '../cluster/index.ts'
import type { Context } from '../core/context.ts'
import { ensureBootFiles, ensureGuestImage, ensureHostTools, ensureKubernetes, ensurePauseImage, ensureWorkloadImage, type BootFiles, type GuestImage, type Kubernetes } from '../image/index.ts'
import { resolveKernel, type Kernel } from '../kernels/index.ts'
import { assertHostMemory, chooseAccel, launchMachine, type Accel, type StartedMachine } from '../machine/index.ts'
import { startWire, type StartedWire } from '../wire/index.ts'
import type { E2eOptions } from './options.ts'

/** Everything that is up when the suites begin; partial while a run comes up, so that its evidence can be gathered at any time. */
export interface Up {
  readonly kernel: Kernel
  readonly machines: readonly StartedMachine[]
  readonly wire: StartedWire
  readonly cluster: StartedCluster
  readonly agent: StartedAgent
  /** Reference of the workload image, which suites deploy. */
  readonly workloadImage: string
}

/** What is made once and cached. */
interface Prepared {
  readonly kernel: Kernel
  readonly kubernetes: Kubernetes
  readonly image: GuestImage
  readonly boot: BootFiles
  readonly imagesDisk: string
  readonly workloadImage: string
  readonly accel: Accel
}

/** Takes a kernel all the way to a cluster with its agent, stage after stage. `tell` hears what is up so far. */
export async function bringUp(spec: string, options: E2eOptions, ctx: Context, tell: (up: Partial<Up>) => void): Promise<Up> {
  const driver = findDriver(options.agent)
  const prepared = await prepare(spec, options, ctx, (kernel) => tell({ kernel }))
  const { kernel, kubernetes, workloadImage } = prepared
  const wire = await startWire(ctx)
  const started: StartedMachine[] = []
  tell({ kernel, wire, machines: started })
  const machines = launchAll(prepared, wire, options, ctx, (machine) => started.push(machine))
  const cluster = await startCluster({ kubernetes, machines }, ctx)
  tell({ kernel, wire, machines: started, cluster })
  const agent = await driver.install(cluster, ctx, driverOptions(options))
  tell({ kernel, wire, machines: started, cluster, agent })
  await cluster.waitNodesReady()
  return { kernel, machines: started, wire, cluster, agent, workloadImage }
}

const driverOptions = (options: E2eOptions): { fault?: string } => (options.fault === undefined ? {} : { fault: options.fault })

async function prepare(spec: string, options: E2eOptions, ctx: Context, found: (kernel: Kernel) => void): Promise<Prepared> {
  await ensureHostTools(ctx)
  // The kernel first: what is wrong with it should be said before the long builds begin.
  const kernel = await resolveKernel(spec, { trustOnFirstUse: options.trustOnFirstUse, ...(options.modules === undefined ? {} : { modules: options.modules }) }, ctx)
  found(kernel)
  const kubernetes = await ensureKubernetes(options.kubernetes, ctx)
  const image = await ensureGuestImage(kubernetes, ctx)
  const [boot, pause, workload, agent, accel] = await Promise.all([
    ensureBootFiles(kernel, ctx),
    ensurePauseImage(ctx),
    ensureWorkloadImage(ctx),
    findDriver(options.agent).prepareImages(ctx, driverOptions(options)),
    chooseAccel(ctx, kernel, options.accel),
  ])
  const imagesDisk = await makeImagesDisk([pause, workload, ...agent], image, ctx)
  return { kernel, kubernetes, image, boot, imagesDisk, workloadImage: workload.ref, accel }
}

/** Boots the machines side by side and connects each to the wire; all memory is asked for before any starts. */
function launchAll(prepared: Prepared, wire: StartedWire, options: E2eOptions, ctx: Context, up: (machine: StartedMachine) => void): Promise<StartedMachine>[] {
  const { kernel, image, boot, imagesDisk, accel } = prepared
  const names = Array.from({ length: options.nodes }, (_, i) => `node${i + 1}`)
  assertHostMemory(names.map((name) => ({ name, memoryMiB: options.memoryMiB })))
  return names.map(async (name, i) => {
    const wireSocket = join(ctx.sockets, `${name}.wire`)
    const machine = await launchMachine({ name, index: i + 1, kernel, image, boot, imagesDisk, wireSocket, memoryMiB: options.memoryMiB, cpus: options.cpus }, accel, ctx)
    up(machine)
    await wire.attach(name, wireSocket)
    return machine
  })
}
