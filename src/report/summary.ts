import type { NotRun, RunResult, TestResult } from './types.ts'

const mark = { passed: '✓', failed: '✗', skipped: '-' } as const
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

/** One line a test, as it is shown while the suites run, and below it what the test found worth telling. */
export function testLine(test: TestResult): string {
  const line = `${mark[test.status]} ${test.suite}: ${test.name} ${seconds(test.ms)}`
  return [test.status === 'skipped' && test.message ? `${line} (${test.message})` : line, ...(test.notes ?? []).map((note) => note.replace(/^/gm, '      '))].join('\n')
}

/** What a person reads when a run has ended: failures in full, where the time went, where the evidence is, and the counts last. */
export function summary(run: RunResult, dir: string): string {
  const failed = run.tests.filter((test) => test.status === 'failed')
  const parts = failed.map((test) => [`✗ ${test.suite}: ${test.name}`, indent(test.message ?? 'failed'), ...(test.location ? [`    at ${test.location}`] : [])].join('\n'))
  if (run.error !== undefined) parts.push(run.error)
  parts.push(timeline(run))
  if (run.notRun?.length) parts.push(notRunText(run.notRun))
  parts.push(`kernel ${run.kernel} (${run.release}), agent ${run.agent}: ${counts(run.tests)} in ${seconds(run.ms)} — ${run.outcome}${run.note === undefined ? '' : `\n${run.note}`}`)
  parts.push(run.outcome === 'passed' ? `results: ${dir}` : `results and evidence: ${dir}\nrepeat it: ${run.command}`)
  return `\n${parts.join('\n\n')}\n`
}

/** `not run: connectivity, policy (the agent must refuse to start on 4.4)`, a line a reason. */
export const notRunText = (suites: readonly NotRun[]): string =>
  [...Map.groupBy(suites, ({ reason }) => reason)].map(([reason, same]) => `not run: ${same.map(({ suite }) => suite).join(', ')} (${reason})`).join('\n')

const indent = (text: string): string => text.replace(/^(?=.)/gm, '    ')

export function counts(tests: readonly TestResult[]): string {
  const count = (status: TestResult['status']): number => tests.filter((test) => test.status === status).length
  return `${count('passed')} passed, ${count('failed')} failed${count('skipped') ? `, ${count('skipped')} skipped` : ''}`
}

/** The longest steps, in the order they began. */
function timeline(run: RunResult): string {
  const steps = [...run.timeline].sort((a, b) => b.ms - a.ms).slice(0, 10).sort((a, b) => a.startMs - b.startMs)
  return ['where the time went (start, length):', ...steps.map((step) => `  ${seconds(step.startMs).padStart(8)} ${seconds(step.ms).padStart(8)}  ${step.name}${step.ok ? '' : ' (failed)'}`)].join('\n')
}
