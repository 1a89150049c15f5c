import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { $ } from 'zx'
import { z } from 'zod'
import { ensureHostTools, ensureKubernetes } from '../image/index.ts'
import { runCell } from './cell.ts'
import { parseE2e } from './options.ts'
import { projectDir } from './places.ts'
import { openSession } from './session.ts'

const vitestJson = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      message: z.string(),
      assertionResults: z.array(z.object({ fullName: z.string(), status: z.string(), failureMessages: z.array(z.string()).nullable() })),
    }),
  ),
})

/** `failures`: what to read when it is red, told again at the very end, as a log of CI is often cut to its last lines. */
interface Part { readonly name: string; readonly passed: number; readonly failed: number; readonly failures?: readonly string[] }

/**
 * `npm test`: lint, types, unit tests, then an end-to-end run on one Debian kernel with the real agent, and one with a seeded fault that
 * must turn a suite red. Every part runs even when an earlier one failed; what failed is told again below all output; the last line is `N passed, N failed`. Answers 130 when stopped.
 */
export async function check(): Promise<number> {
  const parts: Part[] = []
  parts.push(await command('lint', 'eslint', ['.']))
  parts.push(await command('types', 'tsc', ['-p', '.']))
  parts.push(await unitTests(await programs()))
  for (const run of [() => endToEnd('end to end', ['--kernel', '6.1'], 0), () => endToEnd('end to end with a seeded fault', ['--kernel', '6.1', '--suite', 'policy', '--fault', 'policy-forgets-drop'], 1)]) {
    const part = await run()
    if (part === undefined) return 130
    parts.push(part)
  }
  for (const { name, failures = [] } of parts) if (failures.length > 0) process.stdout.write(`\n${name} failed:\n${failures.map(brief).join('\n')}\n\n`)
  for (const part of parts) process.stdout.write(`${part.failed ? '✗' : '✓'} ${part.name}: ${part.passed} passed, ${part.failed} failed\n`)
  const sum = (key: 'passed' | 'failed'): number => parts.reduce((total, part) => total + part[key], 0)
  process.stdout.write(`${sum('passed')} passed, ${sum('failed')} failed\n`)
  return sum('failed') === 0 ? 0 : 1
}

/** A failure's name and the first lines of its message. */
const brief = (failure: string): string => failure.split('\n').slice(0, 15).join('\n').replace(/^(?=.)/gm, '  ')

const bin = (name: string): string => join(projectDir, 'node_modules/.bin', name)

async function command(name: string, tool: string, args: readonly string[]): Promise<Part> {
  process.stdout.write(`— ${name}\n`)
  const { exitCode } = await $({ cwd: projectDir, stdio: 'inherit', nothrow: true })`${bin(tool)} ${args}`
  return { name, passed: exitCode === 0 ? 1 : 0, failed: exitCode === 0 ? 0 : 1 }
}

/** Installs and builds what tests need besides npm's packages: compilers, and the folder of Kubernetes programs that it answers. */
async function programs(): Promise<string> {
  const session = openSession()
  try {
    await ensureHostTools(session.ctx)
    await ensureHostTools(session.ctx, 'tests')
    return (await ensureKubernetes(undefined, session.ctx)).bin
  } finally {
    await session.end()
  }
}

/** lash's control plane is among them, against the real API server. */
async function unitTests(kubernetes: string): Promise<Part> {
  process.stdout.write('— unit tests\n')
  const dir = mkdtempSync(join(tmpdir(), 'kb-unit-'))
  try {
    const file = join(dir, 'unit.json')
    const { exitCode } = await $({ cwd: projectDir, stdio: 'inherit', nothrow: true, env: { ...process.env, KERNELBED_KUBERNETES: kubernetes } })`${bin('vitest')} run --project unit --reporter=default --reporter=json --outputFile.json=${file}`
    const results = vitestJson.parse(JSON.parse(readFileSync(file, 'utf8')))
    // A file that could not be collected fails the run without a failed test.
    const failed = exitCode !== 0 && results.numFailedTests === 0 ? 1 : results.numFailedTests
    const failures = results.testResults
      .filter(({ status }) => status === 'failed')
      .flatMap(({ name, message, assertionResults }) => {
        const red = assertionResults.filter(({ status }) => status === 'failed')
        return red.length === 0 ? [`${name}\n${message}`] : red.map(({ fullName, failureMessages }) => [`${fullName} (${name})`, ...(failureMessages ?? [])].join('\n'))
      })
    return { name: 'unit tests', passed: results.numPassedTests, failed, failures }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** A run that must end with the given exit code. For a run that is meant to go red, its failed tests are the success. Undefined when it was stopped. */
async function endToEnd(name: string, argv: readonly string[], expected: number): Promise<Part | undefined> {
  process.stdout.write(`— ${name}\n`)
  const options = (await parseE2e(argv))!
  const { result, code } = await runCell(options.cells[0]!, options)
  if (result.outcome === 'stopped') return undefined
  const red = result.tests.filter((test) => test.status === 'failed')
  const failed = red.length
  const passed = result.tests.filter((test) => test.status === 'passed').length
  if (expected === 0) {
    const failures = [...red.map((test) => `${test.suite}: ${test.name}\n${test.message ?? ''}`), ...(result.error === undefined ? [] : [result.error])]
    return { name, passed, failed: code === 0 ? 0 : Math.max(1, failed), failures }
  }
  const caught = code === expected && failed > 0
  return { name: `${name}: ${caught ? 'caught' : 'NOT caught'}`, passed: caught ? 1 : 0, failed: caught ? 0 : 1 }
}
