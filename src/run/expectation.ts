import { loadDriver, refusalLines } from '../agent/index.ts'
import { usageError } from '../core/errors.ts'
import { checkKernelSpec, describeSpec, findInCatalogue, type KernelOptions } from '../kernels/index.ts'
import type { NotRun, TestResult } from '../report/types.ts'

/** What the catalogue expects of the agent on a kernel. */
export type Expectation = 'works' | 'refuses'

/** The suite for kernels that the agent must refuse; all others need an agent that runs. */
const refusalSuite = 'refusal'

/** By the name that the user gave, which may be a catalogue line whatever the image is, then by the line of the release. */
export const expectationOf = ({ name, line }: { readonly name: string; readonly line: string }): Expectation =>
  (findInCatalogue(name) ?? findInCatalogue(line))?.agent === 'refuses' ? 'refuses' : 'works'

/** What is expected on the kernels of one cluster; checkMixed has made sure that they agree. */
export const expectationOfAll = (kernels: readonly { readonly name: string; readonly line: string }[]): Expectation => (kernels.some((kernel) => expectationOf(kernel) === 'refuses') ? 'refuses' : 'works')

export interface SuitePlan {
  readonly run: readonly string[]
  /** What is not run on this kernel, and why; only what somebody might miss. */
  readonly notRun: readonly NotRun[]
}

/** Which of the suites asked for (none: all there are) run on a kernel. */
export function planSuites(asked: readonly string[], known: readonly string[], expectation: Expectation, kernel: string): SuitePlan {
  const wanted = asked.length ? asked : known
  if (expectation === 'refuses') {
    const reason = `the agent must refuse to start on ${kernel}`
    return { run: wanted.filter((suite) => suite === refusalSuite), notRun: wanted.filter((suite) => suite !== refusalSuite).map((suite) => ({ suite, reason })) }
  }
  // Nobody misses it where everything is asked for.
  const notRun = asked.includes(refusalSuite) ? [{ suite: refusalSuite, reason: `the agent must work on ${kernel}; the suite is for kernels that it must refuse` }] : []
  return { run: wanted.filter((suite) => suite !== refusalSuite), notRun }
}

const described = (spec: string, options: KernelOptions): { readonly name: string; readonly line: string } => describeSpec(checkKernelSpec(spec, options))

/** Throws a usage error for a cluster of kernels on some of which the agent must work, and refuse others. */
export function checkMixed(kernels: readonly string[], options: KernelOptions = {}): void {
  const refusing = kernels.map((spec) => described(spec, options)).filter((kernel) => expectationOf(kernel) === 'refuses')
  if (refusing.length > 0 && refusing.length < kernels.length) throw usageError(`the agent must refuse to start on ${refusing.map(({ name }) => name).join(', ')}, so a cluster mixed of it and others never gets ready`, `leave it out, or run it by itself: --kernel ${refusing[0]!.name}`)
}

/** Throws a usage error when a kernel would be left with no suite to run. */
export function checkSuites(asked: readonly string[], known: readonly string[], kernels: readonly string[], options: KernelOptions = {}): void {
  for (const spec of kernels) {
    const kernel = described(spec, options)
    const { run, notRun } = planSuites(asked, known, expectationOf(kernel), kernel.name)
    if (run.length === 0) throw usageError(`no suite to run on ${kernel.name}: ${notRun.map(({ suite, reason }) => `${suite}: ${reason}`).join('; ')}`, `leave --suite out, or name ${known.filter((suite) => (suite === refusalSuite) === (expectationOf(kernel) === 'refuses')).join(', ')}`)
  }
}

/** `refused, as expected: <the fatal line>`, from what the suite found; undefined when it found none. */
export async function refusalNote(agent: string, tests: readonly TestResult[]): Promise<string | undefined> {
  const { refusal } = await loadDriver(agent)
  const [said] = refusal ? refusalLines(tests.flatMap(({ notes = [] }) => notes).join('\n'), refusal) : []
  return said && `refused, as expected: ${said.line}`
}
