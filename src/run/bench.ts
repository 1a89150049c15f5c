import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { didYouMean } from '../core/closest.ts'
import type { Context } from '../core/context.ts'
import { usageError } from '../core/errors.ts'
import { ensureHostTools } from '../image/index.ts'
import { fetchDebianKernel } from '../kernels/debian.ts'
import { checkKernelSpec, resolveKernel, type Kernel } from '../kernels/index.ts'
import { bootComparison } from './bench/boot.ts'
import { compare, samplesText, type Comparison } from './bench/compare.ts'
import { monitorComparison } from './bench/monitor.ts'
import { restoreComparison } from './bench/restore.ts'
import { servicesBench } from './bench/services/services.ts'
import { verifierBench } from './bench/verifier.ts'
import { wireComparison } from './bench/wire.ts'
import { parseFlags } from './flags.ts'
import { parseE2e, type E2eOptions } from './options.ts'
import { inSession } from './session.ts'

const subjects = ['boot', 'restore', 'wire', 'monitor', 'services', 'verifier'] as const
type Subject = (typeof subjects)[number]

interface Asked { readonly subject: Subject; readonly kernel?: string; readonly modules?: string; readonly rounds: number; readonly record: boolean }

/**
 * `npm run bench -- boot|restore|wire|monitor|services|verifier`: measures a part of the framework, or of the agent, side by side with what a user would pick instead, in rounds, and prints medians and ratios; `bench.json` in the run's
 * folder has every value. Answers 130 when stopped; throws usage errors.
 */
export async function bench(argv: readonly string[]): Promise<number> {
  const asked = parse(argv)
  if (!asked) return 0
  return inSession(async ({ ctx }) => {
    await ensureHostTools(ctx)
    if (asked.subject === 'services') {
      process.stdout.write(await servicesBench(asked.kernel ?? '6.1', await optionsOf(asked.kernel, asked.modules), asked.rounds, ctx))
      return 0
    }
    if (asked.subject === 'verifier') {
      process.stdout.write(await verifierBench(asked.kernel ?? '6.1', await optionsOf(asked.kernel, asked.modules), asked.record, ctx))
      return 0
    }
    const samples = await compare(await comparisonOf(asked.subject, asked, ctx), asked.rounds, ctx)
    mkdirSync(ctx.dir, { recursive: true })
    writeFileSync(join(ctx.dir, 'bench.json'), `${JSON.stringify({ ...asked, date: new Date().toISOString(), ...samples }, undefined, 1)}\n`)
    process.stdout.write(`${asked.subject}, ${asked.rounds} round${asked.rounds === 1 ? '' : 's'}\n\n${samplesText(samples)}\nevery value: ${join(ctx.dir, 'bench.json')}\n`)
    return 0
  }, { keepFolder: true })
}

function parse(argv: readonly string[]): Asked | undefined {
  const program = parseFlags(new Command('npm run bench --')
    .description('Measures a part of kernelbed side by side with what one would pick instead: boot (virtme-ng), restore (a cold start), wire (a direct socket), monitor (kubectl exec), services (iptables as kube-proxy writes it, and a plain VXLAN tunnel). verifier: what the kernel\'s verifier makes of each of the agent\'s programs, beside what was recorded.')
    .argument('<what>', subjects.join(', '))
    .option('--kernel <name|path>', 'catalogue line, path or name=path (default: 6.1; for boot a Debian kernel with 9p, which virtme-ng needs)')
    .option('--modules <dir>', "the given kernel's lib/modules/<release> folder")
    .option('--rounds <n>', 'measurements of each side', rounds, 5)
    .option('--record', 'with verifier: write down what was counted', false)
    .allowExcessArguments(false), argv)
  if (!program) return undefined
  const subject = program.args[0] ?? ''
  const known = subjects.find((each) => each === subject)
  if (!known) throw usageError(`nothing called "${subject}" to measure${didYouMean(subject, subjects)}`, `npm run bench -- ${subjects.join('|')}`)
  const options = program.opts<{ kernel?: string; modules?: string; rounds: number; record: boolean }>()
  if (options.record && known !== 'verifier') throw usageError('--record goes with verifier')
  if (options.modules !== undefined && options.kernel === undefined) throw usageError('--modules goes with --kernel FILE')
  if (options.kernel !== undefined) checkKernelSpec(options.kernel, options.modules === undefined ? {} : { modules: options.modules })
  return { subject: known, ...options }
}

function rounds(value: string): number {
  const n = Number(value)
  if (!Number.isInteger(n) || n < 1 || n > 100) throw new InvalidArgumentError('takes a whole number from 1 to 100.')
  return n
}

async function comparisonOf(subject: Exclude<Subject, 'services' | 'verifier'>, { kernel, modules }: Asked, ctx: Context): Promise<Comparison> {
  const given = modules === undefined ? {} : { modules }
  const resolved = (): Promise<Kernel> => resolveKernel(kernel ?? '6.1', given, ctx)
  switch (subject) {
    case 'boot': return bootComparison(kernel === undefined ? await fetchDebianKernel('6.1', { from: 'debian', suites: ['bookworm'], package: 'linux-image-amd64' }, ctx) : await resolved(), ctx)
    case 'wire': return wireComparison(await resolved(), ctx)
    case 'restore': return restoreComparison(kernel ?? '6.1', await optionsOf(kernel, modules), ctx)
    case 'monitor': return monitorComparison(kernel ?? '6.1', await optionsOf(kernel, modules), ctx)
  }
}

/** What `npm run e2e` would run with for this kernel. */
const optionsOf = async (kernel: string | undefined, modules: string | undefined): Promise<E2eOptions> => (await parseE2e(['--kernel', kernel ?? '6.1', ...(modules === undefined ? [] : ['--modules', modules])]))!
