import type { RunResult, TestResult } from './types.ts'

// Characters that XML 1.0 cannot carry at all.
const unprintable = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g
/** Text for an element or an attribute. */
export const escapeXml = (text: string): string =>
  text.replace(unprintable, '\ufffd').replace(/[&<>"']/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' })[c]!)

/** JUnit XML of one or more runs; every test's name carries its kernel: `policy > drops … [6.1]`. Times are seconds. */
export function junitXml(runs: readonly RunResult[]): string {
  const suites = runs.flatMap((run) => [...suitesOf(run), ...(run.error === undefined ? [] : [runSuite(run, run.error)])])
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="kernelbed">\n${suites.join('\n')}\n</testsuites>\n`
}

function suitesOf(run: RunResult): string[] {
  const names = [...new Set(run.tests.map((test) => test.suite))]
  return names.map((name) => {
    const tests = run.tests.filter((test) => test.suite === name)
    const count = (status: TestResult['status']): number => tests.filter((test) => test.status === status).length
    const seconds = tests.reduce((sum, test) => sum + test.ms, 0) / 1000
    return `  <testsuite name="${escapeXml(`${name} [${run.kernel}]`)}" tests="${tests.length}" failures="${count('failed')}" skipped="${count('skipped')}" errors="0" time="${seconds.toFixed(3)}" timestamp="${escapeXml(run.startedAt)}">\n${tests.map((test) => caseOf(run, test)).join('\n')}\n  </testsuite>`
  })
}

function caseOf(run: RunResult, test: TestResult): string {
  const open = `    <testcase classname="${escapeXml(`${run.kernel}.${test.suite}`)}" name="${escapeXml(`${test.name} [${run.kernel}]`)}" time="${(test.ms / 1000).toFixed(3)}"`
  if (test.status === 'passed') return test.notes === undefined ? `${open}/>` : `${open}><system-out>${escapeXml(test.notes.join('\n'))}</system-out></testcase>`
  if (test.status === 'skipped') return `${open}><skipped message="${escapeXml(test.message ?? '')}"/></testcase>`
  return `${open}><failure message="${escapeXml((test.message ?? 'failed').split('\n')[0]!)}">${escapeXml(`${test.message ?? ''}${test.location ? `\nat ${test.location}` : ''}`)}</failure></testcase>`
}

/** What became of the run beside its tests: an error; a kernel that is not available, or a run that was stopped before it began, is skipped. */
function runSuite(run: RunResult, error: string): string {
  const name = escapeXml(`run [${run.kernel}]`)
  const skipped = run.outcome === 'unavailable' || run.outcome === 'stopped'
  const detail = skipped ? `<skipped message="${escapeXml(`${run.outcome === 'unavailable' ? 'not available' : 'stopped'}: ${error}`)}"/>` : `<error message="${escapeXml(error.split('\n')[0]!)}">${escapeXml(error)}</error>`
  return `  <testsuite name="${name}" tests="1" failures="0" skipped="${skipped ? 1 : 0}" errors="${skipped ? 0 : 1}" time="${(run.ms / 1000).toFixed(3)}" timestamp="${escapeXml(run.startedAt)}">\n    <testcase classname="${escapeXml(run.kernel)}.run" name="${name}" time="${(run.ms / 1000).toFixed(3)}">${detail}</testcase>\n  </testsuite>`
}
