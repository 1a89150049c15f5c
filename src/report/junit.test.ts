import { expect, test } from 'vitest'
import { junitXml } from './junit.ts'
import type { RunResult } from './types.ts'

const run: RunResult = {
  id: 'r', kernel: '4.14', release: '4.14.177', agent: 'lash', startedAt: '2026-01-01T00:00:00Z', ms: 1000, outcome: 'failed', timeline: [], command: 'npm run e2e',
  tests: [
    { suite: 'policy', name: 'drops <denied> & "odd"', status: 'failed', ms: 1500, message: 'expected a drop\nsaw \u0007none', location: 'suites/policy.test.ts:4' },
    { suite: 'policy', name: 'passes', status: 'passed', ms: 500 },
    { suite: 'tunnels', name: 'needs geneve', status: 'skipped', ms: 0, message: 'no geneve' },
  ],
}

test('every test name carries its kernel, and text is escaped', () => {
  const xml = junitXml([run])
  expect(xml).toContain('name="drops &lt;denied&gt; &amp; &quot;odd&quot; [4.14]"')
  expect(xml).toContain('<testsuite name="policy [4.14]" tests="2" failures="1" skipped="0" errors="0" time="2.000"')
  expect(xml).toContain('<skipped message="no geneve"/>')
  expect(xml).not.toContain('\u0007')
})

test('what a passed test found worth telling is in the XML', () => {
  expect(junitXml([{ ...run, tests: [{ suite: 'refusal', name: 'refuses', status: 'passed', ms: 1, notes: ['msg="no" & <so>', 'two'] }] }])).toContain('<system-out>msg=&quot;no&quot; &amp; &lt;so&gt;\ntwo</system-out>')
})

test('a run that failed before its tests is an error in the XML, not an empty success', () => {
  const xml = junitXml([{ ...run, tests: [], error: 'node1 did not boot' }])
  expect(xml).toContain('errors="1"')
  expect(xml).toContain('node1 did not boot')
})

test('a kernel that is not available is skipped with the reason, not an error', () => {
  const xml = junitXml([{ ...run, tests: [], outcome: 'unavailable', error: 'kernel 4.4 is not in Debian' }])
  expect(xml).toContain('tests="1" failures="0" skipped="1" errors="0"')
  expect(xml).toContain('<skipped message="not available: kernel 4.4 is not in Debian"/>')
  expect(xml).not.toContain('<error')
})
