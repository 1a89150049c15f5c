import { existsSync, readFileSync } from 'node:fs'
import { Command } from 'commander'
import { KernelbedError, usageError } from '../core/errors.ts'
import type { RunResult } from '../report/types.ts'
import { bisectImages, type Verdict } from './bisect-search.ts'
import { runCell } from './cell.ts'
import { commandOf } from './command-line.ts'
import { parseFlags } from './flags.ts'
import { e2eFlags, e2eOptions, type E2eOptions } from './options.ts'

/** A step of a bisection, as it is printed at the end. */
interface Step { readonly image: string; readonly verdict: Verdict; readonly why: string; readonly dir: string }

interface Asked { readonly images: readonly string[]; readonly verify: boolean; readonly options: E2eOptions }

/**
 * `npm run bisect -- --good IMAGE --bad IMAGE IMAGE… [flags of e2e]`: finds the first of a list of kernels, ordered from good to bad, on which the suites fail. Each step is a whole run.
 * Answers 0 when it was found, 3 when good or bad are not what was said, 130 when stopped; throws usage errors.
 */
export async function bisect(argv: readonly string[]): Promise<number> {
  const asked = await parse(argv)
  if (!asked) return 0
  const steps: Step[] = []
  try {
    const found = await search(asked, steps)
    process.stdout.write(`\n${stepsText(steps)}\n`)
    const { images } = asked
    const unknown = found.unknown.length === 0 ? '' : `could not be told: ${found.unknown.map((index) => images[index]).join(', ')}; the first bad one may be among them\n`
    process.stdout.write(`last good: ${images[found.lastGood]}\nfirst bad: ${images[found.firstBad]}\n${unknown}run it again: ${commandOf(images[found.firstBad]!, asked.options)}\n`)
    return 0
  } catch (error) {
    if (steps.length) process.stdout.write(`\n${stepsText(steps)}\n`)
    if (error instanceof Stopped) return 130
    throw error
  }
}

class Stopped extends Error {}

async function search({ images, verify, options }: Asked, steps: Step[]): ReturnType<typeof bisectImages> {
  const judge = async (index: number): Promise<Verdict> => {
    const image = images[index]!
    process.stderr.write(`\n== bisect, step ${steps.length + 1}: ${image}\n`)
    const { result, code, dir } = await runCell({ name: image, kernel: image }, options)
    if (code === 130) throw new Stopped()
    const told = verdictOf(result)
    steps.push({ image, dir, ...told })
    return told.verdict
  }
  if (verify) {
    for (const [index, wanted] of [[0, 'good'], [images.length - 1, 'bad']] as const) {
      const verdict = await judge(index)
      if (verdict !== wanted) {
        throw new KernelbedError(`${images[index]} was to be ${wanted}, and is ${verdict === 'unknown' ? 'not to be told' : verdict}: ${steps.at(-1)!.why}`, { blame: 'host', hint: wanted === 'good' ? 'give an older --good, or a --suite and -t that pass on it' : 'give the --suite and -t that fail on it' })
      }
    }
  }
  return bisectImages(images.length, judge)
}

/** A kernel that does not boot, or on which the agent does not start, is bad, as both work on the good one; for what the host or the cluster did it can't answer. */
export function verdictOf({ outcome, tests, error }: Pick<RunResult, 'outcome' | 'tests' | 'error'>): { verdict: Verdict; why: string } {
  if (outcome === 'passed') return { verdict: 'good', why: `${tests.filter(({ status }) => status === 'passed').length} passed` }
  const failed = tests.filter(({ status }) => status === 'failed')
  if (outcome === 'failed') return { verdict: 'bad', why: `${failed.length} failed: ${[failed[0]?.suite, failed[0]?.name].filter(Boolean).join(': ')}` }
  const why = error?.split('\n')[0] ?? 'no result'
  return { verdict: /^error \((guest kernel|agent)\)/.test(why) ? 'bad' : 'unknown', why }
}

function stepsText(steps: readonly Step[]): string {
  const width = Math.max(...steps.map(({ image }) => image.length))
  return steps.map(({ image, verdict, why, dir }) => `${image.padEnd(width)}  ${verdict.padEnd(7)}  ${why}\n${''.padEnd(width)}           ${dir}\n`).join('')
}

async function parse(argv: readonly string[]): Promise<Asked | undefined> {
  const program = parseFlags(e2eFlags(new Command('npm run bisect --')
    .description('Finds the first kernel of a list, ordered from good to bad, on which the suites fail. Takes the flags of npm run e2e too.')
    .argument('[images...]', 'kernels between the two, in order: what --kernel takes')
    .option('--good <image>', 'a kernel on which the suites pass')
    .option('--bad <image>', 'a later one on which they fail')
    .option('--images <file>', 'a file with an image a line, in order, the good one first and the bad one last')
    .option('--no-verify', 'take it as said that good is good and bad is bad'), { stray: true }), argv)
  if (!program) return undefined
  const { good, bad, images: file, verify, kernel } = program.opts<{ good?: string; bad?: string; images?: string; verify: boolean; kernel: string[] }>()
  if (kernel.length) throw usageError('bisect takes no --kernel', 'give --good, --bad and the images between them')
  const images = file === undefined ? between(good, program.args, bad) : listed(file, good ?? bad ?? program.args[0])
  if (new Set(images).size < images.length) throw usageError(`an image is given twice: ${images.find((image, i) => images.indexOf(image) < i)}`)
  const options = { ...(await e2eOptions(program, [images[0]!])), snapshot: false }
  if (options.mixed || options.keep) throw usageError(`bisect takes no ${options.keep ? '--keep' : '--nodes with kernels'}`)
  for (const image of images) await e2eOptions(program, [image])
  return { images, verify, options }
}

function between(good: string | undefined, images: readonly string[], bad: string | undefined): string[] {
  if (good === undefined || bad === undefined) throw usageError(`which kernel is ${good === undefined ? 'good' : 'bad'}?`, 'npm run bisect -- --good ./bzImage-1 --bad ./bzImage-9 ./bzImage-2 … ./bzImage-8, or --images FILE')
  return [good, ...images, bad]
}

function listed(file: string, other: string | undefined): string[] {
  if (other !== undefined) throw usageError(`--images names all, and so does ${other}`, 'put good, bad and those between into the file')
  if (!existsSync(file)) throw usageError(`${file} does not exist`, 'a file with an image a line, in order')
  const images = readFileSync(file, 'utf8').split('\n').map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'))
  if (images.length < 2) throw usageError(`${file} names ${images.length} image${images.length === 1 ? '' : 's'}: two at least, good and bad`)
  return images
}
