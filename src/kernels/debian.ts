import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cached, sha256, sha256File } from '../core/cache.ts'
import { KernelbedError } from '../core/errors.ts'
import { inStep } from '../core/progress.ts'
import type { Context } from '../core/context.ts'
import { privateApt, showPackage, unpackPackages, type DebPackage, type PrivateApt } from './apt.ts'
import { lineOf, readBzImage } from './bzimage.ts'
import type { CatalogueKernel } from './catalogue.ts'
import type { Kernel } from './types.ts'

type DebianKernel = CatalogueKernel & { readonly source: { readonly from: 'debian' } }

/** Packages that hold an image or modules; sid's image package is empty and depends on linux-binary-… and linux-modules-…. */
const kernelPackage = /^linux-(image|binary|modules|base)-\d/

/** The kernel of a catalogue line, from the first of its Debian suites that has it. Image at `vmlinuz`, modules at `lib/modules/<release>` of its cache entry. */
export async function fetchDebianKernel(kernel: DebianKernel, ctx: Context): Promise<Kernel> {
  const errors: unknown[] = []
  for (const suite of kernel.source.suites) {
    try {
      return await fromSuite(kernel, suite, ctx)
    } catch (error) {
      if (ctx.signal.aborted) throw error
      errors.push(error)
    }
  }
  if (errors.length === 1) throw errors[0]
  throw new AggregateError(errors, `kernel ${kernel.name} could not be had from ${kernel.source.suites.join(' or ')}`)
}

async function fromSuite(kernel: DebianKernel, suite: string, ctx: Context): Promise<Kernel> {
  try {
    return await fetch(kernel, await privateApt(suite, ctx), ctx)
  } catch (error) {
    // A day-old index may name a version that the mirror has replaced since.
    if (ctx.signal.aborted || !(error instanceof KernelbedError) || !/does not have what its index names|no such package|has no package/.test(error.message)) throw error
    return fetch(kernel, await privateApt(suite, ctx, { fresh: true }), ctx)
  }
}

async function fetch(kernel: DebianKernel, apt: PrivateApt, ctx: Context): Promise<Kernel> {
  const packages = await packagesOf(apt, kernel.source.package)
  const identity = packages.map(({ name, version }) => `${name}=${version}`).sort()
  const entry = await cached(ctx, 'kernels', `debian-${apt.suite}-${sha256('1', ...identity).slice(0, 16)}`, (dir) =>
    inStep(ctx.progress, `kernel ${kernel.name} from Debian ${apt.suite}`, async (step) => {
      const unpacked = join(dir, 'unpacked')
      mkdirSync(unpacked)
      await unpackPackages(apt, packages, unpacked, ctx, (line) => step.update(line))
      arrange(unpacked, dir)
      rmSync(unpacked, { recursive: true })
      writeFileSync(join(dir, 'digest'), sha256(await sha256File(join(dir, 'vmlinuz')), ...identity))
    }))
  return describe(kernel, apt.suite, entry, identity)
}

/** The package a meta package stands for, and those it is split into. */
async function packagesOf(apt: PrivateApt, meta: string): Promise<DebPackage[]> {
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

/** From Debian's several layouts (/boot/vmlinuz-R or /usr/lib/modules/R/vmlinuz; /lib or /usr/lib) to one: vmlinuz, config, lib/modules/R. */
function arrange(unpacked: string, dir: string): void {
  const modulesRoot = ['usr/lib/modules', 'lib/modules'].map((place) => join(unpacked, place)).find((place) => existsSync(place))
  const release = modulesRoot === undefined ? undefined : readdirSync(modulesRoot)[0]
  if (modulesRoot === undefined || release === undefined) throw new KernelbedError('the kernel package holds no modules', { blame: 'host', hint: 'the layout of Debian\'s packages has changed; pass an image with --kernel and --modules' })
  const take = (places: readonly string[], as: string): void => {
    const from = places.map((place) => join(unpacked, place)).find((place) => existsSync(place))
    if (from !== undefined) renameSync(from, join(dir, as))
  }
  const folder = join(modulesRoot, release).slice(unpacked.length + 1)
  take([`boot/vmlinuz-${release}`, `${folder}/vmlinuz`], 'vmlinuz')
  take([`boot/config-${release}`, `${folder}/config`], 'config')
  if (!existsSync(join(dir, 'vmlinuz'))) throw new KernelbedError(`the package of ${release} holds no kernel image`, { blame: 'host', hint: 'the layout of Debian\'s packages has changed; pass an image with --kernel and --modules' })
  mkdirSync(join(dir, 'lib/modules'), { recursive: true })
  renameSync(join(unpacked, folder), join(dir, 'lib/modules', release))
}

function describe(kernel: DebianKernel, suite: string, entry: string, identity: readonly string[]): Kernel {
  const image = join(entry, 'vmlinuz')
  const { release } = readBzImage(image)
  const config = join(entry, 'config')
  return {
    name: kernel.name,
    release,
    line: lineOf(release),
    image,
    modules: join(entry, 'lib/modules', release),
    ...(existsSync(config) ? { config } : {}),
    digest: readFileSync(join(entry, 'digest'), 'utf8'),
    source: `Debian ${suite} ${identity.join(' ')}`,
  }
}
