import type { Context } from '../core/context.ts'
import { cachedDebian, cachedMainline } from './cached.ts'
import { assertSuiteThere, knownApt } from './apt.ts'
import type { CatalogueKernel, DebianSource, KernelSource } from './catalogue.ts'
import { kernelPackages } from './debian.ts'
import { debianMirrors, type Mirrors } from './mirrors.ts'
import { isExpected, tell } from './failure.ts'
import { locateKernel } from './locate.ts'
import type { MainlineSource } from './mainline.ts'
import { archiveSource, knownVersion, mirrorSource, sourceName } from './sources.ts'
import { verifyChecksums } from './trust.ts'

/** Whether a line's kernel is here, could be had, or neither. */
export type Availability =
  /** `what`: its release. */
  | { readonly state: 'cached'; readonly what: string; readonly from: string }
  /** `what`: the version that a fetch would bring, where that is known without it. */
  | { readonly state: 'available'; readonly what: string; readonly from: string }
  /** Why not, a line a source. */
  | { readonly state: 'no'; readonly why: readonly string[] }

/** Longest that a line's source may take to answer. */
const patienceMs = 15_000

/** Looks for every line at once, downloading no kernel. Sources that don't answer count as out of reach after 15 s at most. */
export async function availabilityOf(kernels: readonly CatalogueKernel[], ctx: Context): Promise<ReadonlyMap<string, Availability>> {
  let debian: Promise<Mirrors> | undefined
  const places: Places = { mirror: mirrorSource(), archive: archiveSource(), debian: () => (debian ??= debianMirrors(ctx.signal)) }
  return new Map(await Promise.all(kernels.map(async (kernel) => [kernel.name, await ofKernel(kernel, places, ctx)] as const)))
}

/** Opened once, so that a listing is asked for once; apt takes a second or two to tell its mirrors. */
interface Places { readonly mirror: MainlineSource | undefined; readonly archive: MainlineSource; readonly debian: () => Promise<Mirrors> }

/** By the first source that has it, as a run would take it. */
async function ofKernel(kernel: CatalogueKernel, places: Places, ctx: Context): Promise<Availability> {
  const why: string[] = []
  for (const source of kernel.sources) {
    const place = source.from === 'mirror' ? places.mirror : places.archive
    if (place === undefined) {
      why.push(`${sourceName(source)}: not set`)
      continue
    }
    const cached = cachedFrom(kernel, source, place, ctx)
    if (cached) return cached
    const patience = AbortSignal.timeout(patienceMs)
    try {
      return await ask(kernel, source, place, places, { ...ctx, signal: AbortSignal.any([ctx.signal, patience]) })
    } catch (error) {
      if (ctx.signal.aborted || !(isExpected(error) || patience.aborted)) throw error
      // Without the line's own name the same reason of several lines is told once.
      why.push(`${sourceName(source)}: ${patience.aborted ? `no answer in ${patienceMs / 1000} s` : tell(error).replace(`kernel ${kernel.name}`, 'such kernel')}`)
    }
  }
  return { state: 'no', why }
}

function cachedFrom(kernel: CatalogueKernel, source: KernelSource, place: MainlineSource, ctx: Context): Availability | undefined {
  if (source.from === 'debian') {
    const [found] = source.suites.flatMap((suite) => cachedDebian(suite, ctx).map((release) => ({ suite, release })))
    return found && { state: 'cached', what: found.release, from: `Debian ${found.suite}` }
  }
  const found = cachedMainline(kernel.name, ctx).find(({ base }) => base === place.origin.base)
  return found && { state: 'cached', what: `v${found.version}`, from: found.source.replace(` v${found.version}`, '') }
}

const ask = (kernel: CatalogueKernel, source: KernelSource, place: MainlineSource, places: Places, ctx: Context): Promise<Availability> =>
  source.from === 'debian' ? askDebian(source, places, ctx) : askMainline(kernel, source.from === 'mirror' ? knownVersion(kernel) : source.version, place, ctx)

async function askDebian({ suites, package: meta }: DebianSource, { debian }: Places, ctx: Context): Promise<Availability> {
  const mirrors = await debian()
  const errors: unknown[] = []
  for (const suite of suites) {
    try {
      await assertSuiteThere(suite, mirrors, ctx)
      const known = knownApt(suite, mirrors, ctx)
      return { state: 'available', what: known === undefined ? '' : ((await kernelPackages(known, meta))[0]?.version ?? ''), from: `Debian ${suite}` }
    } catch (error) {
      errors.push(error)
    }
  }
  throw new AggregateError(errors)
}

/** With the signature checked: a kernel that would be refused is not available. */
async function askMainline(kernel: CatalogueKernel, version: string | undefined, { name, origin, trust }: MainlineSource, ctx: Context): Promise<Availability> {
  const located = await locateKernel(origin, kernel.name, version, ctx.signal)
  const { why } = await verifyChecksums({ base: origin.base, ...located }, trust, false, ctx)
  return { state: 'available', what: `v${located.version}`, from: `${name} ${origin.base}, ${why}` }
}
