import { join } from 'node:path'
import { Command } from 'commander'
import type { Context } from '../core/context.ts'
import { ensureBootFiles, ensureGuestImage, ensureHostTools, ensureKubernetes } from '../image/index.ts'
import { checkKernelSpec, resolveKernel } from '../kernels/index.ts'
import { chooseAccel, launchMachine } from '../machine/index.ts'
import { deviations, featureTableText, probeFeatures, type FeatureTable } from '../probe/index.ts'
import { parseFlags } from './flags.ts'
import { inSession } from './session.ts'

/**
 * `npm run features -- 4.9=./bzImage 6.1`: boots a machine a kernel, one after the other, and prints what they can do as a Markdown table. Answers 1
 * where a kernel is not what the catalogue says of its line, 130 when stopped; throws usage errors.
 */
export async function features(argv: readonly string[]): Promise<number> {
  const program = parseFlags(new Command('npm run features --')
    .description('Boots a machine on each kernel and prints which features its kernel has, by trying them.')
    .argument('[kernels...]', 'catalogue line (6.1), a bzImage by path, or name=path')
    .option('--modules <dir>', "the given kernel's lib/modules/<release> folder"), argv)
  if (!program) return 0
  const options = program.opts<{ modules?: string }>()
  const specs = program.args.length ? program.args : ['6.1']
  for (const spec of specs) checkKernelSpec(spec, options)
  return inSession(async ({ ctx }) => {
    const tables: FeatureTable[] = []
    for (const spec of specs) tables.push(await probed(spec, options, ctx))
    process.stdout.write(featureTableText(tables))
    const wrong = tables.flatMap(deviations)
    process.stdout.write(wrong.map((line) => `${line}\n`).join(''))
    return wrong.length ? 1 : 0
  }, { keepFolder: true })
}

async function probed(spec: string, options: { modules?: string }, ctx: Context): Promise<FeatureTable> {
  await ensureHostTools(ctx)
  const kernel = await resolveKernel(spec, options, ctx)
  const image = await ensureGuestImage(await ensureKubernetes(undefined, ctx), ctx)
  const [boot, accel] = [await ensureBootFiles(kernel, ctx), await chooseAccel(ctx, kernel)]
  const machine = await launchMachine({ name: 'node1', index: 1, kernel, image, boot, memoryMiB: 512, cpus: 1, wireSocket: join(ctx.sockets, 'wire') }, accel, ctx)
  try {
    return { ...(await probeFeatures(machine, ctx, kernel.config === undefined ? {} : { config: kernel.config })), node: kernel.name }
  } finally {
    await machine.stop()
  }
}
