import { sha256, sha256File } from '../core/cache.ts'
import { KernelbedError } from '../core/errors.ts'
import type { Context } from '../core/context.ts'
import { resolveBuildTree } from './build-tree.ts'
import { lineOf } from './bzimage.ts'
import { findInCatalogue, type CatalogueKernel, type KernelSource } from './catalogue.ts'
import { datapathOptions, missingOptions } from './config-options.ts'
import { resolveDebs } from './deb-files.ts'
import { fetchDebianKernel } from './debian.ts'
import { isExpected, tell } from './failure.ts'
import { fingerprint } from './fingerprint.ts'
import { fetchMainline } from './mainline.ts'
import { RefusedError } from './refused.ts'
import { archiveSource, knownVersion, mirrorSource, sourceName } from './sources.ts'
import { checkKernelSpec, type KernelOptions, type KernelSpec } from './spec.ts'
import type { Kernel } from './types.ts'

/**
 * The kernel a `--kernel` value names, on this machine and ready to boot: from the sources of its catalogue line (verified, cached), or what is at a path. Options that its
 * config lacks are told. Throws KernelbedError: usage for a bad spec, host for what is damaged, not to be trusted, or can't be had.
 */
export async function resolveKernel(spec: string, options: KernelOptions, ctx: Context): Promise<Kernel> {
  const checked = checkKernelSpec(spec, options)
  const kernel = checked.kind === 'catalogue' ? await resolveFromSources(checked.kernel, options, ctx) : await fromPath(checked, ctx)
  if (kernel.config === undefined) return kernel
  const missing = missingOptions(kernel.config, findInCatalogue(kernel.name)?.config ?? datapathOptions)
  if (missing.length > 0) ctx.progress.note(`kernel ${kernel.name} (${kernel.release}) was built without ${missing.join(', ')}, which the agent's datapath and pods need`)
  return { ...kernel, missing }
}

async function fromPath(spec: Exclude<KernelSpec, { kind: 'catalogue' }>, ctx: Context): Promise<Kernel> {
  if (spec.kind === 'debs') return resolveDebs(spec.files, spec.name, ctx)
  if (spec.kind === 'tree') return resolveBuildTree(spec.tree, spec.name, ctx)
  const { name, path, release, modules, config } = spec
  const digest = sha256(await sha256File(path), modules === undefined ? '' : fingerprint(modules))
  return { name, release, line: lineOf(release), image: path, ...(modules === undefined ? {} : { modules }), ...(config === undefined ? {} : { config }), digest, source: path }
}

/** A line's kernel from the first source that has it. What is refused is not looked for elsewhere. Throws KernelbedError (host) that names every source and why it gave none. */
export async function resolveFromSources(kernel: CatalogueKernel, options: KernelOptions, ctx: Context): Promise<Kernel> {
  const tried: string[] = []
  for (const source of kernel.sources) {
    try {
      const found = await fromSource(kernel, source, options, ctx)
      if (found) return found
      tried.push(`${sourceName(source)}: not set`)
    } catch (error) {
      if (ctx.signal.aborted || error instanceof RefusedError || !isExpected(error)) throw error
      tried.push(`${sourceName(source)}: ${tell(error)}`)
    }
  }
  throw new KernelbedError(`kernel ${kernel.name} is not to be had here`, {
    blame: 'host',
    details: tried.join('\n'),
    hint: /^\d/.test(kernel.name)
      ? `pass one by path (--kernel ${kernel.name}=FILE: a bzImage, vmlinux, .deb or the folder of a build), or set KERNELBED_MIRROR to a folder or URL that has v${knownVersion(kernel) ?? `${kernel.name}.N`}/amd64/`
      : `check that the mirror of this host's apt carries the release, or pass a kernel by path (--kernel ${kernel.name}=FILE)`,
  })
}

/** Undefined for a mirror that isn't set. */
async function fromSource(kernel: CatalogueKernel, source: KernelSource, options: KernelOptions, ctx: Context): Promise<Kernel | undefined> {
  if (source.from === 'debian') return fetchDebianKernel(kernel.name, source, ctx)
  const place = source.from === 'mainline' ? archiveSource() : mirrorSource()
  if (!place) return undefined
  const version = source.from === 'mainline' ? source.version : knownVersion(kernel)
  return fetchMainline({ kernel: kernel.name, line: kernel.name, ...(version === undefined ? {} : { version }), firstUse: options.trustOnFirstUse ?? false }, place, ctx)
}
