import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { KernelbedError } from '../core/errors.ts'
import { saveFeatures, type ProbedFeature } from '../probe/index.ts'
import { loadFlows } from './load/flows.ts'
import { loadCell } from './load.ts'
import type { RunResult } from './types.ts'

const work = mkdtempSync(join(tmpdir(), 'kb-load-'))
const run = join(work, 'runs', 'r1')
afterAll(() => rmSync(work, { recursive: true, force: true }))

const put = (path: string, content: string): void => {
  mkdirSync(dirname(join(run, path)), { recursive: true })
  writeFileSync(join(run, path), content)
}
const result: RunResult = { id: 'r1', kernel: '6.1', release: '6.1.0', agent: 'lash', startedAt: '2026-01-01T00:00:00Z', ms: 5, outcome: 'passed', tests: [{ suite: 's', name: 't', status: 'passed', ms: 1 }], timeline: [], command: 'npm run e2e' }

beforeEach(() => {
  rmSync(run, { recursive: true, force: true })
  put('result.json', JSON.stringify({ ...result, addedLater: 1 }))
})

test('a result alone is enough', () => {
  expect(loadCell(run)).toEqual({ result, base: '.', logs: [], files: [], unreadable: [] })
  expect(loadCell(run, work).base).toBe('runs/r1')
  expect(loadCell(run, join(work, 'out')).base).toBe('../runs/r1')
})

test.each([
  ['no result', undefined, /has no result\.json/],
  ['a result cut off', '{"id": "r', /result\.json cannot be read/],
  ['a result of another shape', '{"id": 1}', /not the result of a run:[\s\S]*kernel/],
])('%s is a usage error that says so', (_what, content, message) => {
  rmSync(join(run, 'result.json'))
  if (content !== undefined) put('result.json', content)
  const load = (): unknown => loadCell(run)
  expect(load).toThrow(message)
  expect(load).toThrow(KernelbedError)
})

test('consoles come first, then commands, then logs; terminal sequences are removed', () => {
  put('logs/etcd.log', 'started\n')
  put('logs/node1-console.log', '\u001b[0;32mok\u001b[0m one\r\ntwo\r\n')
  put('commands.log', 'node1$ true\n')
  put('logs/empty.log', '')
  const { logs } = loadCell(run)
  expect(logs.map(({ path, kind }) => [path, kind])).toEqual([['logs/node1-console.log', 'console'], ['commands.log', 'commands'], ['logs/etcd.log', 'log']])
  expect(logs[0]).toMatchObject({ lines: ['ok one', 'two'], cut: false })
})

test('of a large log only whole lines of its end are read', () => {
  put('logs/node1-console.log', Array.from({ length: 50_000 }, (_, i) => `line ${i}`).join('\n'))
  const log = loadCell(run).logs[0]
  expect(log).toMatchObject({ cut: true })
  expect(log?.lines).toHaveLength(400)
  expect(log?.lines[0]).toBe('line 49600')
})

test('pcaps and other files are linked; keys, disks, databases and links out of the folder are not', () => {
  put('pcap/policy.pcap', 'x')
  put('evidence/cluster/pods.yaml', 'x')
  for (const secret of ['pki/ca.key', 'etcd/member/db', 'agent-etcd/member/db', 'admin.kubeconfig', 'id_ed25519', 'logs/server.pem', 'node1.qcow2']) put(secret, 'x')
  symlinkSync('/etc/passwd', join(run, 'passwd.txt'))
  const { files, logs } = loadCell(run)
  expect(files).toEqual([{ path: 'pcap/policy.pcap', kind: 'pcap', bytes: 1 }, { path: 'evidence/cluster/pods.yaml', kind: 'other', bytes: 1 }])
  expect(logs).toEqual([])
})

test('a collected copy of a log is shown once, equal logs of two nodes both', () => {
  put('logs/node1-console.log', 'same\n')
  put('logs/node2-console.log', 'same\n')
  put('evidence/node1/console.log', 'same\n')
  expect(loadCell(run).logs.map(({ path }) => path)).toEqual(['logs/node1-console.log', 'logs/node2-console.log'])
})

test('monitor events become rows; a line cut off is counted', () => {
  const summary = { proto: 'tcp', text: '10.0.0.1:1 -> 10.0.0.2:80 tcp SYN' }
  put('monitor/node1.jsonl', `${JSON.stringify({ type: 'drop', raw: 'xx', node: '', reason: 'Policy denied', source: 62, srcIdentity: 9, dstIdentity: 1, interface: 'eth0', summary })}\n${JSON.stringify({ type: 'lost', raw: 'l', node: 'node1', count: 3, cpu: 1 })}\n{"type":"tra`)
  expect(loadCell(run).flows).toEqual({
    total: 2, broken: 1, files: ['monitor/node1.jsonl'],
    rows: [
      { line: 1, node: 'node1', type: 'drop', verdict: 'Policy denied', packet: summary.text, detail: 'identity 9 (world-ipv4) → 1 (host) · from endpoint 62 · if eth0', raw: 'xx' },
      { line: 2, node: 'node1', type: 'lost', verdict: '3 events lost', packet: 'CPU 1: the perf ring overflowed', detail: '', raw: 'l' },
    ],
  })
})

test('above the limit drops are kept, then the newest, in their order', () => {
  const event = (type: string, i: number): string => JSON.stringify({ type, raw: String(i), node: 'n', reason: 'r', point: 'to-stack', summary: { text: '' } })
  put('monitor/n.jsonl', Array.from({ length: 10 }, (_, i) => event(i === 1 ? 'drop' : 'trace', i)).join('\n'))
  const flows = loadFlows(join(run, 'monitor'), 3)
  expect(flows?.total).toBe(10)
  expect(flows?.rows.map((row) => row.raw)).toEqual(['1', '8', '9'])
})

test('features are read as the probe wrote them; a features file that is none is named, not fatal', () => {
  const features: ProbedFeature[] = [{ name: 'map:lpm_trie', state: 'supported' }, { name: 'map:ringbuf', state: 'unknown', note: 'EPERM' }]
  saveFeatures(run, [{ node: 'node1', kernel: { name: '6.1', release: '6.1.0', line: '6.1' }, features }])
  expect(loadCell(run).features).toEqual(features)
  put('features.json', '[{"name": 1}]')
  expect(loadCell(run)).toMatchObject({ unreadable: [expect.stringContaining('features.json: ')] })
})
