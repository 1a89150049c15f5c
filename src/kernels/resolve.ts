import { sha256, sha256File } from '../core/cache.ts'
import type { Context } from '../core/context.ts'
import { lineOf } from './bzimage.ts'
import { fetchDebianKernel } from './debian.ts'
import { fingerprint } from './fingerprint.ts'
import { checkKernelSpec, type KernelOptions } from './spec.ts'
import type { Kernel } from './types.ts'

/**
 * The kernel a `--kernel` value names, on this machine and ready to boot: from Debian's mirror through apt (verified, cached), or a file in place.
 * Throws KernelbedError: usage for a bad spec, host for what is damaged or can't be fetched.
 */
export async function resolveKernel(spec: string, options: KernelOptions, ctx: Context): Promise<Kernel> {
  const checked = checkKernelSpec(spec, options)
  if (checked.kind === 'debian') return fetchDebianKernel(checked.kernel, ctx)
  const { name, path, header, modules } = checked
  const digest = sha256(await sha256File(path), modules === undefined ? '' : fingerprint(modules))
  return { name, release: header.release, line: lineOf(header.release), image: path, ...(modules === undefined ? {} : { modules }), digest, source: path }
}
