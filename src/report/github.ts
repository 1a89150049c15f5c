import { appendFileSync } from 'node:fs'
import { markdownSummary } from './markdown.ts'
import { brokenBy } from './table.ts'
import type { RunResult } from './types.ts'

/** GitHub shows ten annotations of a step at most. */
const MAX_ANNOTATIONS = 10

/** In a GitHub Actions step: appends the summary to its page ($GITHUB_STEP_SUMMARY) and prints an annotation a failure. Nothing elsewhere. */
export function tellGithub(runs: readonly RunResult[], env: NodeJS.ProcessEnv = process.env, print: (text: string) => void = (text) => process.stdout.write(text)): void {
  appendStepSummary(markdownSummary(runs), env, print)
  if (env['GITHUB_ACTIONS'] === 'true') print(annotations(runs))
}

/** Appends a summary, Markdown, to the page of a GitHub Actions step; nothing elsewhere. */
export function appendStepSummary(markdown: string, env: NodeJS.ProcessEnv = process.env, print: (text: string) => void = (text) => process.stdout.write(text)): void {
  const file = env['GITHUB_STEP_SUMMARY']
  if (!file) return
  try {
    appendFileSync(file, `${markdown}\n`)
  } catch (error) {
    // The page is a convenience: a run is not made red by it.
    print(`the step summary could not be written: ${(error as Error).message}\n`)
  }
}

/** Workflow commands (`::error …`), a line each; every failed test, then every run that broke. */
export function annotations(runs: readonly RunResult[]): string {
  const all = runs.flatMap((run) => [
    ...run.tests.filter((test) => test.status === 'failed').map((test) => {
      const [, file, line] = /^(.*):(\d+)$/.exec(test.location ?? '') ?? []
      return command({ ...(file === undefined ? {} : { file, line: line! }), title: `${run.kernel}: ${test.suite}: ${test.name}` }, test.message ?? 'failed')
    }),
    ...[brokenBy(run)].filter((error) => error !== undefined).map((error) => command({ title: `${run.kernel}: the run itself` }, error)),
  ])
  return all.slice(0, MAX_ANNOTATIONS).map((line) => `${line}\n`).join('')
}

function command(properties: Readonly<Record<string, string>>, message: string): string {
  const listed = Object.entries(properties).map(([name, value]) => `${name}=${escapeData(value).replaceAll(':', '%3A').replaceAll(',', '%2C')}`).join(',')
  return `::error ${listed}::${escapeData(message)}`
}

const escapeData = (text: string): string => text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
