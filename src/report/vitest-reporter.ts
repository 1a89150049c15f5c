/** Vitest reporter of the suites' process: tells the runner each result, one JSON a line on file descriptor 3. */
import { writeSync } from 'node:fs'
import { basename, relative } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import type { Reporter, SerializedError, TestCase, TestModule } from 'vitest/node'
import { failedBy } from './failed-by.ts'
import type { SuiteMessage, TestResult } from './types.ts'

const tell = (message: SuiteMessage): void => void writeSync(3, `${JSON.stringify(message)}\n`)
const suiteOf = (module: TestModule): string => basename(module.moduleId).replace(/\.test\.ts$/, '')

export default class SuiteReporter implements Reporter {
  #errors = 0

  onTestModuleCollected(module: TestModule): void {
    tell({ kind: 'suite', suite: suiteOf(module), tests: [...module.children.allTests()].length })
  }

  onTestCaseResult(test: TestCase): void {
    const { state, errors } = test.result()
    if (state === 'pending') return
    const note = state === 'skipped' ? test.result() : undefined
    const message = errors?.length ? errors.map(messageOf).join('\n\n') : note && 'note' in note ? note.note : undefined
    const location = errors?.map(locationOf).find((found) => found !== undefined)
    const notes = test.annotations().map(({ message: note }) => note)
    const result: TestResult = {
      suite: suiteOf(test.module),
      name: test.fullName,
      status: state,
      ms: Math.round(test.diagnostic()?.duration ?? 0),
      ...(message === undefined ? {} : { message }),
      ...(location === undefined ? {} : { location }),
      ...(errors?.length ? { by: failedBy(errors) } : {}),
      ...(notes.length === 0 ? {} : { notes }),
    }
    const startedAt = test.diagnostic()?.startTime
    tell({ kind: 'test', result, ...(startedAt === undefined ? {} : { startedAt }) })
  }

  onTestModuleEnd(module: TestModule): void {
    // Errors of collection and of beforeAll belong to no test: they must not be lost.
    for (const error of [...module.errors(), ...[...module.children.allSuites()].flatMap((suite) => [...suite.errors()])]) {
      this.#errors++
      tell({ kind: 'error', message: `${suiteOf(module)}: ${messageOf(error)}` })
    }
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[], reason: 'passed' | 'interrupted' | 'failed'): void {
    for (const error of unhandled) tell({ kind: 'error', message: messageOf(error) })
    tell({ kind: 'end', ok: reason === 'passed' && modules.length > 0 && unhandled.length === 0 && this.#errors === 0 })
  }
}

function messageOf(error: Pick<SerializedError, 'message'> & { details?: unknown; hint?: unknown; cause?: unknown }): string {
  const lines = [stripVTControlCharacters(error.message)]
  if (typeof error.details === 'string' && error.details) lines.push(error.details)
  if (typeof error.hint === 'string' && error.hint) lines.push(`→ ${error.hint}`)
  return lines.join('\n')
}

function locationOf(error: SerializedError): string | undefined {
  const frame = (error.stacks as { file: string; line: number }[] | undefined)?.find(({ file }) => file.includes('/suites/'))
  return frame ? `${relative(process.cwd(), frame.file)}:${frame.line}` : undefined
}
