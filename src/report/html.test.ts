import { expect, test } from 'vitest'
import { htmlReport } from './html.ts'
import type { ReportCell } from './load.ts'
import type { RunResult, TestResult } from './types.ts'

const hostile = `"><script>alert(1)</script><img src=x onerror='alert(2)'>&amp;</pre></style><!--`

function cell(result: Partial<RunResult> = {}, rest: Partial<ReportCell> = {}): ReportCell {
  const run: RunResult = { id: 'r1', kernel: '4.14', release: '4.14.177', agent: 'lash', startedAt: '2026-01-01T00:00:00Z', ms: 60_000, outcome: 'passed', tests: [], timeline: [], command: 'npm run e2e -- --kernel 4.14', ...result }
  return { result: run, base: 'runs/r1', logs: [], files: [], unreadable: [], ...rest }
}

const passed: TestResult = { suite: 'policy', name: 'drops', status: 'passed', ms: 100 }
const failed: TestResult = { suite: 'policy', name: 'drops', status: 'failed', ms: 100, message: 'expected a drop\n  saw\tnone\n→ look there', location: 'suites/policy.test.ts:4' }

/** The page without what is ours and the same in every page. */
const body = (page: string): string => page.slice(page.indexOf('<body>'), page.lastIndexOf('<script>'))

test('no text of a run becomes markup, wherever it is shown', () => {
  const page = htmlReport([cell(
    {
      id: hostile, kernel: hostile, release: hostile, agent: hostile, startedAt: hostile, command: hostile, error: hostile, outcome: 'error', note: hostile, notRun: [{ suite: hostile, reason: hostile }],
      tests: (['passed', 'failed', 'skipped'] as const).map((status) => ({ suite: hostile, name: hostile, status, ms: 1, message: hostile, location: hostile, notes: [hostile, hostile] })),
      timeline: [{ name: hostile, startMs: 0, ms: 1, ok: false, note: hostile }],
    },
    {
      base: hostile,
      logs: [{ path: hostile, kind: 'console', bytes: 1, lines: [hostile, hostile], cut: true }],
      flows: { total: 2, files: [hostile], broken: 1, rows: [{ line: 1, node: hostile, type: hostile, verdict: hostile, packet: hostile, detail: hostile, raw: hostile }] },
      features: [{ name: hostile, state: 'unknown', note: hostile }],
      files: [{ path: `${hostile}.pcap`, kind: 'pcap', bytes: 1 }, { path: hostile, kind: 'other', bytes: 1 }],
      unreadable: [hostile],
    },
  ), cell({ kernel: '6.1' }, { features: [{ name: hostile, state: 'supported' }] })])
  expect(page).not.toMatch(/<script>alert/)
  expect(page).not.toContain('<img')
  expect(page).not.toContain('<!--')
  expect(page).not.toContain('&amp;amp;amp;')
  expect(page.match(/<script/g)).toHaveLength(2)
  expect(page.match(/<\/script>/g)).toHaveLength(2)
  expect(page.match(/<\/style>/g)).toHaveLength(1)
  // Outside of quoted values, no tag has the attribute: no quote ended one.
  expect(page.replace(/<(script|style).*?<\/\1>/gs, '').replace(/"[^"]*"/g, '""')).not.toMatch(/<[^>]*\sonerror=/)
})

test('the embedded flows can be read back as they were', () => {
  const row = { line: 7, node: 'node1', type: 'drop', verdict: 'Policy denied', packet: hostile, detail: '', raw: '</script>\u2028' }
  const page = htmlReport([cell({}, { flows: { total: 1, files: ['monitor/node1.jsonl'], broken: 0, rows: [row] } })])
  const data = /<script type="application\/json">(.*?)<\/script>/s.exec(page)?.[1] ?? ''
  expect(data).not.toContain('<')
  expect(JSON.parse(data)).toEqual([[7, 'node1', 'drop', 'Policy denied', hostile, '', '</script>\u2028']])
})

test('a run that passed by refusing says so in its row; suites that were not run on it have their column and the reason', () => {
  const refused = cell({ kernel: '4.4', note: 'refused, as expected: NOT OK', tests: [{ suite: 'refusal', name: 'says why', status: 'passed', ms: 1, notes: ['qdisc clsact: not supported'] }], notRun: [{ suite: 'tunnels', reason: 'the agent must refuse' }] })
  const page = body(htmlReport([refused, cell({ tests: [passed] })]))
  expect(page).toContain('<small title="refused, as expected: NOT OK">refused, as expected</small></a>')
  expect(page).toContain('<th scope="col"><span>tunnels</span></th>')
  expect(page).toContain('title="the agent must refuse">not run')
  expect(page).toContain('not run: tunnels (the agent must refuse)')
  expect(page).toContain('qdisc clsact: not supported')
})

test('the page loads nothing: no address in it leads out, and its policy forbids it', () => {
  const page = htmlReport([cell({ tests: [failed], outcome: 'failed' })])
  expect(page).not.toMatch(/(src|href)="(https?:)?\/\//)
  expect(page).not.toMatch(/@import|url\(/)
  expect(page).toContain("default-src &#39;none&#39;")
})

test('the matrix has a row a kernel in order of version, and says what did not run', () => {
  const page = htmlReport([cell({ kernel: '6.1', tests: [passed] }), cell({ kernel: 'mine', tests: [passed, { ...passed, suite: 'tunnel' }] }), cell({ kernel: '4.9', tests: [failed, passed], outcome: 'failed' })])
  const rows = [...page.matchAll(/<tr><th scope="row">([^<]*)<small>.*?<\/tr>/gs)]
  expect(rows.map((row) => row[1])).toEqual(['4.9', '6.1', 'mine'])
  expect(rows[0]?.[0].replaceAll(/<[^>]*>/g, '')).toContain('1 of 2 failed')
  expect(rows[0]?.[0]).toContain('not run')
  expect(rows[2]?.[0]).not.toContain('not run')
})

test('runs that split the suites of one kernel share a row', () => {
  const page = htmlReport([cell({ id: 'a', tests: [passed] }), cell({ id: 'b', tests: [{ ...passed, suite: 'tunnel' }] })])
  expect(page.match(/<tr><th scope="row">4\.14/g)).toHaveLength(1)
  expect(page).toContain('href="#run-1-suite-1"')
  expect(page).toContain('href="#run-2-suite-1"')
})

test('every link within the page leads somewhere', () => {
  const skipped: TestResult = { suite: 'tunnel', name: 'geneve', status: 'skipped', ms: 0, message: 'no geneve' }
  const page = htmlReport([cell({ tests: [passed, failed, skipped], outcome: 'failed' }), cell({ kernel: '6.1', tests: [passed], error: 'no', outcome: 'error' })])
  const ids = new Set([...page.matchAll(/ id="([^"]+)"/g)].map((found) => found[1]))
  for (const [, target] of page.matchAll(/href="#([^"]+)"/g)) expect(ids).toContain(target)
})

test('a failed message is whole and its white space kept; it comes before the timeline and the tests', () => {
  const page = body(htmlReport([cell({ tests: [passed, failed], outcome: 'failed', timeline: [{ name: 'boot', startMs: 0, ms: 5, ok: true }] })]))
  expect(page).toContain('<b>expected a drop</b>\n  saw\tnone\n<i>→ look there</i></pre>')
  expect(page.indexOf('class="message"')).toBeLessThan(page.indexOf('class="timeline"'))
  expect(page).toContain('suites/policy.test.ts:4')
})

test('the same test that fails on two kernels is one line of the overview', () => {
  const page = htmlReport([cell({ kernel: '4.9', tests: [failed], outcome: 'failed' }), cell({ kernel: '6.1', tests: [failed], outcome: 'failed' })])
  const overview = page.slice(page.indexOf('What failed'), page.indexOf('class="runs"'))
  expect(overview.match(/<li>/g)).toHaveLength(1)
  expect(overview).toContain('>4.9</a>, <a')
})

test('a run that passed is folded among others, and open alone', () => {
  const open = (cells: ReportCell[]): boolean[] => [...htmlReport(cells).matchAll(/<details class="run[^>]*>/g)].map(([tag]) => tag.includes(' open'))
  expect(open([cell()])).toEqual([true])
  expect(open([cell({ kernel: '4.9' }), cell({ kernel: '6.1', outcome: 'failed' })])).toEqual([false, true])
})

test('links to evidence are relative to the report, with every segment encoded', () => {
  const page = htmlReport([cell({}, { base: '../runs/r 1', files: [{ path: 'pcap/javascript:x#?.pcap', kind: 'pcap', bytes: 2048 }] })])
  expect(page).toContain('href="./../runs/r%201/pcap/javascript%3Ax%23%3F.pcap"')
  expect(page).toContain('2 KiB')
})

test('of a log the last lines are in sight and those before are folded', () => {
  const lines = Array.from({ length: 40 }, (_, i) => `line ${i + 1}`)
  const page = body(htmlReport([cell({ outcome: 'error', error: 'no boot' }, { logs: [{ path: 'logs/node1-console.log', kind: 'console', bytes: 400, lines, cut: true }] })]))
  expect(page).toContain('<details class="log" open>')
  expect(page).toContain('The last 40 lines')
  const before = /<details class="before">.*?<\/details>/s.exec(page)?.[0] ?? ''
  expect(before).toContain('25 lines before')
  expect(before).toContain('line 25<')
  expect(before).not.toContain('line 26')
})

test('agents are told apart only where there are several', () => {
  expect(htmlReport([cell()])).not.toContain('4.14, lash')
  expect(htmlReport([cell(), cell({ agent: 'cilium' })])).toContain('4.14, cilium')
})

test('no runs make a page that says so', () => {
  expect(htmlReport([])).toContain('no runs')
})

test('a kernel that is not available has a row that says why, and does not make the others less', () => {
  const page = htmlReport([cell({ kernel: '4.4', outcome: 'unavailable', error: `kernel 4.4 is not in Debian; ${hostile}`, release: 'not resolved' }), cell({ kernel: '4.9', tests: [passed] }), cell({ kernel: '6.1', tests: [passed] })])
  expect(page).toContain('<h1><span class="mark passed"')
  expect(page).toContain('all 2 runs passed, 1 kernel not available')
  expect(page).toMatch(/<tr><th scope="row">4\.4<\/th><td colspan="2"><a class="cell none" href="#run-1">not available: kernel 4\.4 is not in Debian/)
  expect(page).not.toContain('What failed')
})

test('features that tell the kernels apart come first', () => {
  const features = (state: 'supported' | 'unsupported'): ReportCell['features'] => [{ name: 'a same', state: 'supported' }, { name: 'b differs', state }]
  const page = htmlReport([cell({ kernel: '4.9' }, { features: features('unsupported')! }), cell({ kernel: '6.1' }, { features: features('supported')! })])
  expect(page).toContain('2 probed on 2 kernels, 1 differ')
  expect(page.indexOf('b differs')).toBeLessThan(page.indexOf('a same'))
})
