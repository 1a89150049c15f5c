import type { V1Pod } from '@kubernetes/client-node'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Context } from '../../core/context.ts'
import { endOwned } from '../../core/owned.ts'
import { LineProgress } from '../../core/progress.ts'
import { Registry, type Owned } from '../../core/registry.ts'
import { waitFor } from '../../core/wait.ts'
import { smallBzImage } from '../../kernels/test-mirror.ts'
import type { RunResult } from '../../report/types.ts'
import type { CellEvent } from '../cell-events.ts'
import { parseE2e, type E2eOptions } from '../options.ts'
import { kubernetesEngine } from './kubernetes.ts'
import { kubernetesOptions } from './engine-options.ts'
import { FakeKube, type Wishes } from './testing/fake-kube.ts'

vi.setConfig({ testTimeout: 60_000 })

let dir = ''
let kube: FakeKube
let abort: AbortController
let held: Owned[]
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'kb-engine-'))
  abort = new AbortController()
  held = []
})
afterEach(async () => {
  await kube.stop()
  rmSync(dir, { recursive: true, force: true })
})

const patience = { unschedulableMs: 300, imageMs: 300, noPodMs: 300, silentMs: 1000, intervalMs: 30 }

function context(): Context {
  const guard = { hold: (owned: Owned) => void held.push(owned), drop: () => undefined }
  return { registry: new Registry(guard), progress: new LineProgress(() => undefined), dir, sockets: dir, cache: join(dir, 'cache'), signal: abort.signal }
}

interface Ran { readonly result: RunResult; readonly events: CellEvent[]; readonly lines: string[]; readonly dir: string }

/** Runs a fake cell of a name that says what it does (testing/fake-cell.ts) on a fake cluster. */
async function start(name: string, wishes: Wishes = {}, argv: readonly string[] = []): Promise<{ done: Promise<Ran>; events: CellEvent[] }> {
  kube = new FakeKube(dir, wishes)
  const kubeconfig = await kube.start()
  const options: E2eOptions = (await parseE2e(['--kernel', '6.1', '--engine', 'kubernetes', '--kubeconfig', kubeconfig, ...argv]))!
  const engine = await kubernetesEngine(options, options.kubernetesEngine!, patience)
  const cell = { ...options.cells[0]!, name }
  const cellDir = join(dir, 'cell')
  mkdirSync(cellDir)
  const events: CellEvent[] = []
  const done = engine.run({ id: 'run-1/x', dir: cellDir, cell, options }, { id: 'run-1/x', name, agent: 'lash', repeat: 'npm run e2e -- --kernel 6.1' }, context(), (event) => events.push(event))
    .then((result) => ({ result, events, lines: linesOf(events), dir: cellDir }))
  return { done, events }
}
const linesOf = (events: readonly CellEvent[]): string[] => events.flatMap((event) => (event.kind === 'line' ? [event.text] : []))
const run = async (...args: Parameters<typeof start>): Promise<Ran> => (await start(...args)).done

const waiting = (reason: string, message: string): NonNullable<V1Pod['status']> => ({ phase: 'Pending', containerStatuses: [{ name: 'cell', image: '', imageID: '', ready: false, restartCount: 0, state: { waiting: { reason, message } } }] })

test('a cell runs in a Job: its events are heard, its folder comes back, and nothing stays on the cluster', async () => {
  const { result, events, lines, dir: cell } = await run('passes')
  expect(result).toMatchObject({ id: 'run-1/x', kernel: 'passes', outcome: 'passed', command: 'npm run e2e -- --kernel 6.1', tests: [{ name: 'is told', status: 'passed' }] })
  expect(JSON.parse(readFileSync(join(cell, 'result.json'), 'utf8'))).toEqual(result)
  expect(existsSync(join(cell, 'logs/cell.log'))).toBe(true)
  expect(existsSync(join(cell, 'results.tar.gz'))).toBe(false)
  expect(events.filter(({ kind }) => kind === 'phase' || kind === 'kernel' || kind === 'test').map(({ kind }) => kind)).toEqual(['kernel', 'phase', 'phase', 'test'])
  expect(lines).toContainEqual(expect.stringMatching(/^✓ boot node1/))
  expect(kube.left).toEqual([])
  expect(kube.jobs).toHaveLength(1)
})

test('a red cell is red, and a pod whose cell died has the result that its pod wrote', async () => {
  expect((await run('fails')).result.outcome).toBe('failed')
  await kube.stop()
  rmSync(join(dir, 'cell'), { recursive: true })
  const { result } = await run('dies')
  expect(result).toMatchObject({ outcome: 'error', tests: [{ status: 'passed' }] })
  expect(result.error).toMatch(/the process of kernel dies was killed by SIGKILL/)
})

test('a log connection that breaks is opened again: each event is heard once', async () => {
  const { result, events } = await run('passes', { cutLogAfter: 300 })
  expect(result.outcome).toBe('passed')
  expect(events.filter(({ kind }) => kind === 'test')).toHaveLength(1)
  expect(events.filter(({ kind }) => kind === 'kernel')).toHaveLength(1)
})

test('a connection that breaks while results are fetched is no loss', async () => {
  const { result, dir: cell } = await run('passes', { cutExecAfter: 100 })
  expect(result.outcome).toBe('passed')
  expect(existsSync(join(cell, 'logs/cell.log'))).toBe(true)
})

test('files that the kernel is given by are sent; the result names the kernel as its user did', async () => {
  const file = join(dir, 'mine')
  writeFileSync(file, smallBzImage('4.9.154'))
  kube = new FakeKube(dir)
  const kubeconfig = await kube.start()
  const options = (await parseE2e(['--kernel', `passes=${file}`, '--engine', 'kubernetes', '--kubeconfig', kubeconfig]))!
  const engine = await kubernetesEngine(options, options.kubernetesEngine!, patience)
  mkdirSync(join(dir, 'cell'))
  const result = await engine.run({ id: 'r/x', dir: join(dir, 'cell'), cell: options.cells[0]!, options }, { id: 'r/x', name: 'passes', agent: 'lash', repeat: `npm run e2e -- --kernel passes=${file}` }, context(), () => undefined)
  expect(result).toMatchObject({ outcome: 'passed', kernel: 'passes', command: `npm run e2e -- --kernel passes=${file}` })
  const [job] = kube.jobs
  expect(job!.spec!.template.spec!.containers[0]!.args).toEqual(['--kernel', 'passes=/work/inputs/0/mine'])
  expect(readFileSync(join(dir, job!.metadata!.name!, 'inputs/0/mine'))).toEqual(readFileSync(file))
})

test('Ctrl-C removes the Job, and what was told is kept', async () => {
  const { done, events } = await start('waits')
  await waitFor({ name: 'the cell to run', timeoutMs: 20_000, intervalMs: 20 }, () => (events.some(({ kind }) => kind === 'kernel') ? { done: true } : { seen: linesOf(events).join('; ') }))
  abort.abort()
  expect((await done).result).toMatchObject({ outcome: 'stopped', release: 'waits.1' })
  expect(kube.left).toEqual([])
})

test('what the reaper of a killed runner would run removes the Job', async () => {
  const { events } = await start('waits')
  await waitFor({ name: 'the cell to run', timeoutMs: 20_000, intervalMs: 20 }, () => (events.some(({ kind }) => kind === 'kernel') ? { done: true } : { seen: 'not yet' }))
  const command = held.find(({ kind }) => kind === 'command')!
  expect(kube.left).toHaveLength(1)
  await endOwned(command, 0)
  expect(kube.left).toEqual([])
})

test('a pod that is killed is one clear error, with what it said last', async () => {
  const { done, events } = await start('waits')
  await waitFor({ name: 'the cell to run', timeoutMs: 20_000, intervalMs: 20 }, () => (linesOf(events).some((line) => line.startsWith('✓ boot')) ? { done: true } : { seen: 'not yet' }))
  kube.killPod(kube.left[0]!)
  const { result } = await done
  expect(result).toMatchObject({ outcome: 'error', release: 'waits.1' })
  expect(result.error).toMatch(/pod kb-\S+-pod ended with exit code 137 and left no results\n[\s\S]*✓ boot node1[\s\S]*→ it was killed/)
  expect(kube.left).toEqual([])
})

test.each<[string, Wishes, RegExp]>([
  ['an image that is not there', { status: () => waiting('ImagePullBackOff', 'Back-off pulling image "kernelbed.local/engine:1"') }, /cannot begin: ImagePullBackOff: Back-off[\s\S]*the nodes must have the image kernelbed\.local\/engine:1/],
  ['an image that is never pulled', { status: () => waiting('ErrImageNeverPull', 'not present') }, /cannot begin: ErrImageNeverPull/],
  ['no node with room', { status: () => ({ phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/2 nodes are available: 2 Insufficient memory.' }] }) }, /cannot begin: 0\/2 nodes are available: 2 Insufficient memory\.[\s\S]*--memory/],
  ['a quota', { noPod: 'Error creating: pods "x" is forbidden: exceeded quota: small' }, /got no pod in 0\.3 s: Error creating: .*exceeded quota: small/],
  ['eviction', { status: () => ({ phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: ephemeral-storage.' }) }, /Evicted: The node was low on resource: ephemeral-storage\.[\s\S]*run the cell again/],
  ['the memory limit', { status: () => ({ phase: 'Failed', containerStatuses: [{ name: 'cell', image: '', imageID: '', ready: false, restartCount: 0, state: { terminated: { exitCode: 137, reason: 'OOMKilled' } } }] }) }, /was killed: it used more memory than its limit, \d+Mi/],
  ['the deadline of its Job', { status: () => ({ phase: 'Failed' }), jobStatus: { conditions: [{ type: 'Failed', status: 'True', reason: 'DeadlineExceeded' }] } }, /Job kb-\S+ was ended by the cluster: it took longer than its deadline of 120 min[\s\S]*--engine-deadline/],
  ['its own deadline', { status: () => ({ phase: 'Failed', reason: 'DeadlineExceeded', message: 'Pod was active on the node longer than the specified deadline' }) }, /DeadlineExceeded[\s\S]*--engine-deadline/],
])('%s: one clear message, and the Job is removed', async (_what, wishes, message) => {
  const { result } = await run('passes', wishes)
  expect(result.outcome).toBe('error')
  expect(result.error).toMatch(message)
  expect(result.error).not.toMatch(/^\s+at /m)
  expect(kube.left).toEqual([])
})

test('what a pod waits for is told', async () => {
  const { lines } = await run('passes', { status: (look) => (look < 3 ? waiting('ContainerCreating', '') : waiting('InvalidImageName', 'bad')) })
  expect(lines).toEqual(expect.arrayContaining(['the pod waits: ContainerCreating', 'the pod waits: InvalidImageName: bad']))
})

test('rights that are missing are named before anything is made', async () => {
  await expect(start('passes', { denied: ['create jobs', 'get pods/exec'] })).rejects.toMatchObject({ exitCode: 3, message: expect.stringMatching(/may not create jobs\.batch, get pods\/exec in namespace ns/) as string })
  expect(kube.jobs).toEqual([])
})

test('a Job that the cluster would refuse is refused before the run', async () => {
  await expect(start('passes', { refuse: { code: 404, message: 'namespaces "ns" not found' } })).rejects.toMatchObject({ exitCode: 3, message: expect.stringMatching(/answered 404 to a Job in namespace ns: namespaces "ns" not found/) as string })
  await kube.stop()
  await expect(start('passes', { refuse: { code: 403, message: 'quota' } })).rejects.toThrow(/forbids a Job in namespace ns: quota/)
})

test('flags that do not go together are usage errors', () => {
  kube = new FakeKube(dir)
  expect(() => kubernetesOptions({ engine: 'local', kubeconfig: 'x' })).toThrow('--kubeconfig goes with --engine kubernetes')
  expect(() => kubernetesOptions({ engine: 'kubernetes' })).toThrow('needs --kubeconfig FILE')
  expect(() => kubernetesOptions({ engine: 'kubernetes', kubeconfig: import.meta.filename, engineCache: 'cache' })).toThrow(/neither pvc:NAME nor the absolute path/)
  expect(() => kubernetesOptions({ engine: 'kubernetes', kubeconfig: import.meta.filename, engineKvm: 'kvm' })).toThrow(/neither a resource/)
})
