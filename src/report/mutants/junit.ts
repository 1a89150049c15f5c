import { escapeXml } from '../junit.ts'
import { byText, verdictOf } from './text.ts'
import type { JudgedFault } from './types.ts'

/** JUnit XML with a test a fault, which passes when the fault is caught. */
export function mutantsJunit(faults: readonly JudgedFault[]): string {
  const count = (verdict: JudgedFault['verdict']): number => faults.filter((fault) => fault.verdict === verdict).length
  const ms = faults.reduce((sum, { result }) => sum + (result?.ms ?? 0), 0)
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="kernelbed mutants">\n  <testsuite name="${escapeXml(verdictOf(faults))}" tests="${faults.length}" failures="${count('survived')}" skipped="${count('not run')}" errors="${count('crashed')}" time="${(ms / 1000).toFixed(3)}">\n${faults.map(caseOf).join('\n')}\n  </testsuite>\n</testsuites>\n`
}

function caseOf(fault: JudgedFault): string {
  const { name, does, verdict, why = '', result } = fault
  const open = `    <testcase classname="mutants" name="${escapeXml(`${name}: ${does}`)}" time="${((result?.ms ?? 0) / 1000).toFixed(3)}">`
  const body = verdict === 'caught' ? `<system-out>${escapeXml(byText(fault))}</system-out>` : verdict === 'not run' ? `<skipped message="${escapeXml(why)}"/>` : `<${verdict === 'survived' ? 'failure' : 'error'} message="${escapeXml(`${verdict}: ${why}`)}">${escapeXml(`${why}\n${result?.command ?? ''}`)}</${verdict === 'survived' ? 'failure' : 'error'}>`
  return `${open}${body}</testcase>`
}
