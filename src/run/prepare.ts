import { loadDriver, type AgentDriver, type AgentOptions } from '../agent/index.ts'
import { makeImagesDisk } from '../cluster/index.ts'
import type { Context } from '../core/context.ts'
import { ensureBootFiles, ensureGuestImage, ensureHostTools, ensureKubernetes, ensurePauseImage, ensureWorkloadImage, type BootFiles, type GuestImage, type Kubernetes } from '../image/index.ts'
import { resolveKernel, type Kernel } from '../kernels/index.ts'
import { chooseAccel, type Accel } from '../machine/index.ts'
import { ensureProbe } from '../probe/index.ts'
import { expectationOfAll } from './expectation.ts'
import { agentOptionsOf, type E2eOptions } from './options.ts'
import type { Tell } from './up.ts'

/** One machine to be. */
export interface PreparedNode { readonly name: string; readonly kernel: Kernel; readonly boot: BootFiles; readonly accel: Accel }

/** What every kernel's run uses alike; made once and cached. */
export interface Shared {
  readonly kubernetes: Kubernetes
  readonly image: GuestImage
  readonly imagesDisk: string
  readonly workloadImage: string
}

/** What is made once and cached. */
export interface Prepared extends Shared {
  readonly nodes: readonly PreparedNode[]
  readonly driver: AgentDriver
  readonly agentOptions: AgentOptions
  /** The cluster must offer the agent an etcd. */
  readonly agentEtcd: boolean
}

/** Fetches and builds all that a cell needs before a machine starts. `spec`: a kernel for all machines; those of a mixed cluster are in `options`. */
export async function prepare(spec: string, options: E2eOptions, ctx: Context, tell: Tell): Promise<Prepared> {
  const { kernels, made, ...rest } = await gather(spec, options, ctx, tell, async (kernel) => ({ boot: await ensureBootFiles(kernel, ctx), accel: await chooseAccel(ctx, kernel, options.accel) }))
  return { ...rest, nodes: kernels.map((kernel, i) => ({ name: `node${i + 1}`, kernel, ...made.get(kernel)! })) }
}

/** Puts all that a cell needs into the cache, and answers its kernels, each once. */
export async function fillCache(spec: string, options: E2eOptions, ctx: Context): Promise<readonly Kernel[]> {
  const { kernels } = await gather(spec, options, ctx, () => undefined, (kernel) => ensureBootFiles(kernel, ctx))
  return [...new Set(kernels)]
}

interface Gathered<T> extends Omit<Prepared, 'nodes'> {
  /** One for each machine. */
  readonly kernels: readonly Kernel[]
  readonly made: ReadonlyMap<Kernel, T>
}

async function gather<T>(spec: string, options: E2eOptions, ctx: Context, tell: Tell, make: (kernel: Kernel) => Promise<T>): Promise<Gathered<T>> {
  const driver = await loadDriver(options.agent)
  if (driver.memoryMiB !== undefined && options.memoryMiB < driver.memoryMiB) ctx.progress.note(`machines of ${options.memoryMiB} MiB: ${driver.name} should have ${driver.memoryMiB} (--memory ${driver.memoryMiB})`)
  await ensureHostTools(ctx)
  if (options.provider === 'vagrant') await ensureHostTools(ctx, 'vagrant')
  // The kernels first: what is wrong with one should be said before the long builds begin.
  const specs = options.mixed ?? [spec]
  const resolved: Kernel[] = []
  for (const each of specs) resolved.push(resolved[specs.indexOf(each)] ?? (await resolveKernel(each, { trustOnFirstUse: options.trustOnFirstUse, ...(options.modules === undefined ? {} : { modules: options.modules }) }, ctx)))
  const kernels = Array.from({ length: options.nodes }, (_, i) => resolved[i % resolved.length]!)
  tell({ kernels })
  const agentOptions = { ...agentOptionsOf(options), refuses: expectationOfAll(kernels) === 'refuses' }
  const [made, shared] = await Promise.all([
    // One after the other: two machines of one kernel share what is made for it.
    forEach([...new Set(resolved)], async (kernel) => [kernel, await make(kernel)] as const),
    prepareShared(options, agentOptions, ctx),
  ])
  const agentEtcd = (await driver.needsEtcd?.(ctx, agentOptions, shared.kubernetes)) ?? false
  return { ...shared, kernels, made: new Map(made), driver, agentOptions, agentEtcd }
}

/** Makes what does not depend on the kernel. A matrix does this before its cells begin, so that they find it in the cache. */
export async function prepareShared(options: E2eOptions, agentOptions: AgentOptions, ctx: Context): Promise<Shared> {
  const kubernetes = await ensureKubernetes(options.kubernetes, ctx)
  const image = await ensureGuestImage(kubernetes, ctx)
  const driver = await loadDriver(options.agent)
  const [pause, workload, agent] = await Promise.all([ensurePauseImage(ctx), ensureWorkloadImage(ctx), driver.prepareImages(ctx, agentOptions, kubernetes), ensureProbe(ctx)])
  const imagesDisk = await makeImagesDisk([pause, workload, ...agent], image, ctx)
  return { kubernetes, image, imagesDisk, workloadImage: workload.ref }
}

async function forEach<T, R>(items: readonly T[], make: (item: T) => Promise<R>): Promise<R[]> {
  const made: R[] = []
  for (const item of items) made.push(await make(item))
  return made
}
