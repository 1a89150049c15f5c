import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cached, sha256, sha256File } from '../core/cache.ts'
import { KernelbedError } from '../core/errors.ts'
import { inStep } from '../core/progress.ts'
import type { Context } from '../core/context.ts'
import { privateApt, showPackage, unpackPackages, type DebPackage, type PrivateApt } from './apt.ts'
import type { DebianSource } from './catalogue.ts'
import { arrange } from './deb.ts'
import { kernelOfEntry } from './entry.ts'
import { RefusedError } from './refused.ts'
import type { Kernel } from './types.ts'

/** Packages that hold an image or modules; sid's image package is empty and depends on linux-binary-… and linux-modules-…. */
const kernelPackage = /^linux-(image|binary|modules|base)-\d/

/**
 * A kernel from the first of its Debian suites that has it, called `name`. Image at `vmlinuz`, modules at `lib/modules/<release>` of its cache entry. Throws KernelbedError;
 * RefusedError where a signature is not what it must be.
 */
export async function fetchDebianKernel(name: string, source: DebianSource, ctx: Context): Promise<Kernel> {
  const errors: unknown[] = []
  for (const suite of source.suites) {
    try {
      return await fromSuite(name, source, suite, ctx)
    } catch (error) {
      if (ctx.signal.aborted || error instanceof RefusedError) throw error
      errors.push(error)
    }
  }
  if (errors.length === 1) throw errors[0]
  throw new AggregateError(errors, `kernel ${name} could not be had from ${source.suites.join(' or ')}`)
}

async function fromSuite(name: string, source: DebianSource, suite: string, ctx: Context): Promise<Kernel> {
  try {
    return await fetch(name, source, await privateApt(suite, ctx), ctx)
  } catch (error) {
    // A day-old index may name a version that the mirror has replaced since.
    if (ctx.signal.aborted || !(error instanceof KernelbedError) || !/does not have what its index names|no such package|has no package/.test(error.message)) throw error
    return fetch(name, source, await privateApt(suite, ctx, { fresh: true }), ctx)
  }
}

async function fetch(name: string, source: DebianSource, apt: PrivateApt, ctx: Context): Promise<Kernel> {
  const packages = await kernelPackages(apt, source.package)
  const identity = packages.map(({ name: deb, version }) => `${deb}=${version}`).sort()
  const entry = await cached(ctx, 'kernels', `debian-${apt.suite}-${sha256('1', ...identity).slice(0, 16)}`, (dir) =>
    inStep(ctx.progress, `kernel ${name} from Debian ${apt.suite}`, async (step) => {
      const unpacked = join(dir, 'unpacked')
      mkdirSync(unpacked)
      await unpackPackages(apt, packages, unpacked, ctx, (line) => step.update(line))
      const release = arrange(unpacked, dir)
      if (!existsSync(join(dir, 'lib/modules', release))) throw new KernelbedError(`the packages of ${release} hold no modules`, { blame: 'host', hint: 'the layout of Debian\'s packages has changed; pass an image with --kernel and --modules' })
      rmSync(unpacked, { recursive: true })
      writeFileSync(join(dir, 'digest'), sha256(await sha256File(join(dir, 'vmlinuz')), ...identity))
    }))
  return kernelOfEntry(entry, name, `Debian ${apt.suite} ${identity.join(' ')}`)
}

/** The package a meta package stands for, and those it is split into. */
export async function kernelPackages(apt: PrivateApt, meta: string): Promise<DebPackage[]> {
  const found = new Map<string, DebPackage>()
  const queue = (await showPackage(apt, meta)).depends.filter((name) => kernelPackage.test(name))
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    if (found.has(name)) continue
    const shown = await showPackage(apt, name)
    found.set(name, shown)
    queue.push(...shown.depends.filter((depend) => kernelPackage.test(depend)))
  }
  if (found.size === 0) throw new KernelbedError(`${meta} of Debian ${apt.suite} depends on no kernel`, { blame: 'host', hint: 'try again after the mirror has been updated, or pass an image with --kernel' })
  return [...found.values()]
}
