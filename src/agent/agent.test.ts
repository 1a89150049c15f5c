import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { V1Pod } from '@kubernetes/client-node'
import { afterAll, describe, expect, it } from 'vitest'
import type { ClusterHandle } from '../cluster/index.ts'
import type { Context } from '../core/context.ts'
import { lackReason } from './capabilities.ts'
import { ciliumFatal } from './cilium-log.ts'
import type { AgentDriver } from './driver.ts'
import { checkAgentOptions, driverSpec, loadDriver } from './drivers.ts'
import { agentHandleSchema, fatalLines, type AgentHandle } from './handle.ts'
import { lash, manifests } from './lash.ts'
import { parseManifests } from './manifests.ts'
import { describe as describePod, isReady } from './wait-ready.ts'

const agentDir = join(import.meta.dirname, '../../agent')
const agent: AgentHandle = { driver: 'lash', namespace: 'kube-system', selector: 'k8s-app=cilium', container: 'cilium-agent', cli: ['cilium'], capabilities: { monitor: true }, fatal: ['^panic: ', 'level=fatal'], dumps: [['status']] }
/** As the API server sends it. */
const pod = (status: object, metadata: object = {}): V1Pod => JSON.parse(JSON.stringify({ metadata: { name: 'cilium-x', ...metadata }, spec: { nodeName: 'node1', containers: [] }, status })) as V1Pod
const container = (more: object): V1Pod => pod({ containerStatuses: [{ name: 'cilium-agent', restartCount: 0, ready: false, ...more }] })

describe('agent drivers', () => {
  it('are found by name', async () => expect((await loadDriver('lash')).name).toBe('lash'))

  it('that are unknown are a usage error with the nearest name', async () => {
    await expect(loadDriver('lahs')).rejects.toMatchObject({ blame: 'usage', message: 'unknown agent "lahs" (did you mean "lash"?)', hint: expect.stringMatching(/^agents: lash, .*--agent \.\/my-driver\.ts$/) as string })
  })

  it('offer the faults that lash\'s datapath and lash itself know', () => {
    const sources = readdirSync(join(agentDir, 'bpf'), { recursive: true, encoding: 'utf8' }).filter((file) => /\.[ch]$/.test(file)).map((file) => readFileSync(join(agentDir, 'bpf', file), 'utf8')).join('\n')
    const known = [...sources.matchAll(/(?:#ifn?def|defined\() *FAULT_([A-Z0-9_]+)/g)].map((match) => (match[1] ?? '').toLowerCase().replaceAll('_', '-'))
    const code = readdirSync(join(agentDir, 'src'), { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts')).map((file) => readFileSync(join(agentDir, 'src', file), 'utf8')).join('\n')
    const named = [...code.matchAll(/hasFault\('([a-z0-9-]+)'\)/g)].map((match) => match[1] ?? '')
    expect(lash.faults?.map(({ name }) => name).sort()).toEqual([...new Set([...known, ...named])].sort())
  })

  it('name for each fault suites that there are', () => {
    const suites = readdirSync(join(agentDir, '../suites')).filter((file) => file.endsWith('.test.ts')).map((file) => file.replace('.test.ts', ''))
    for (const { name, does, caughtBy } of lash.faults ?? []) {
      expect(does, name).toMatch(/^[A-Z].*\.$/)
      expect(caughtBy.length, name).toBeGreaterThan(0)
      expect(suites).toEqual(expect.arrayContaining([...caughtBy]))
    }
  })
})

describe('lash\'s manifests', () => {
  it('get the API server as the nodes see it', () => {
    const text = manifests({ host: '172.31.255.1', port: 7443 })
    expect(text).toContain('k8s-api-host: 172.31.255.1\n')
    expect(text).toContain('k8s-api-port: "7443"\n')
  })

  it('get the settings asked for', () => {
    expect(manifests({ host: 'h', port: 1 }, { tunnel: 'geneve' })).toMatch(/^ {2}tunnel: geneve$/m)
  })

  it('get an etcd, its certificates in a Secret, when they are to use one', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'kb-lash-'))
    try {
      for (const name of ['ca', 'crt', 'key']) writeFileSync(join(dir, name), name)
      const etcd = { endpoint: 'https://172.31.255.1:2379', ca: join(dir, 'ca'), client: { cert: join(dir, 'crt'), key: join(dir, 'key') }, link: '' }
      const cluster = { nodeApi: { host: '172.31.255.1', port: 6443 }, etcd } as unknown as ClusterHandle
      const plan = await lash.plan(cluster, {} as Context, { settings: { kvstore: 'etcd' } })
      const objects = parseManifests(plan.manifests, 'plan')
      expect(objects.find(({ kind }) => kind === 'Secret')).toMatchObject({ metadata: { name: 'cilium-etcd-secrets', namespace: 'kube-system' }, data: { 'etcd-client-key': Buffer.from('key').toString('base64') } })
      expect(objects.find(({ kind }) => kind === 'ConfigMap')).toMatchObject({ data: { kvstore: 'etcd', 'kvstore-opt': 'etcd.config=/var/lib/etcd-config/etcd.config', 'etcd-config': expect.stringContaining('- https://172.31.255.1:2379\n') as string } })
      expect(plan.handle.capabilities.kvstore).toBe(true)
      const { etcd: _, ...without } = cluster
      await expect(lash.plan(without, {} as Context, { settings: { kvstore: 'etcd' } })).rejects.toThrow('the cluster offers no etcd to the agent')
      expect((await lash.plan(without, {} as Context, { settings: { kvstore: 'kubernetes' } })).manifests).toMatch(/^ {2}kvstore: ""$/m)
    } finally {
      rmSync(dir, { recursive: true })
    }
  })

  it('blame the agent when they have no place for it', () => {
    expect(() => manifests({ host: 'h', port: 1 }, {}, 'kind: ConfigMap\n')).toThrow('has no k8s-api-host')
  })
})

describe('what a pod of the agent does', () => {
  it('is told from its container\'s state', () => {
    expect(describePod(container({ state: { waiting: { reason: 'ErrImageNeverPull', message: 'not present' } } }), agent)).toBe('ErrImageNeverPull: not present')
    expect(describePod(container({ state: { running: {} } }), agent)).toBe('running, not ready')
    expect(describePod(container({ ready: true, state: { running: {} } }), agent)).toBe('ready')
  })

  it('tells how it ended before a restart', () => {
    const crashing = container({ restartCount: 2, state: { waiting: { reason: 'CrashLoopBackOff' } }, lastState: { terminated: { exitCode: 1, reason: 'Error' } } })
    expect(describePod(crashing, agent)).toBe('CrashLoopBackOff, restarted 2 times, before that it ended with exit code 1 (Error)')
  })

  it('tells why it is not scheduled', () => {
    expect(describePod(pod({ phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', message: '0/2 nodes are available' }] }), agent)).toBe('0/2 nodes are available')
  })

  it('is ready only when it is not being deleted', () => {
    const ready = { conditions: [{ type: 'Ready', status: 'True' }] }
    expect(isReady(pod(ready))).toBe(true)
    expect(isReady(pod(ready, { deletionTimestamp: '2026-11-21T22:00:00Z' }))).toBe(false)
    expect(isReady(undefined)).toBe(false)
  })
})

describe('a driver of one\'s own', () => {
  const dir = mkdtempSync(join(tmpdir(), 'kb-driver-'))
  afterAll(() => rmSync(dir, { recursive: true, force: true }))
  let files = 0
  const file = (text: string): string => {
    const path = join(dir, `driver${++files}.ts`)
    writeFileSync(path, text)
    return path
  }
  const methods = "prepareImages: async () => [], plan: async () => ({ manifests: '', handle: {} })"

  it('is the default export of its file', async () => expect((await loadDriver(file(`const mine: { name: string } = { name: 'mine', ${methods} }\nexport default mine`))).name).toBe('mine'))

  it('is as docs/agents.md has it', async () => {
    const [, text = ''] = /```ts\n(.*?)```/s.exec(readFileSync(join(agentDir, '../docs/agents.md'), 'utf8')) ?? []
    const plan = await (await loadDriver(file(text))).plan({ nodeApi: { host: '172.31.255.1', port: 6443 } } as ClusterHandle, {} as Context, {})
    expect(agentHandleSchema.parse({ ...plan.handle, driver: 'mine' })).toMatchObject({ selector: 'app=my-agent' })
  })

  it.each([
    ['has no default export', `export const driver = { name: 'mine', ${methods} }`, /has no default export$/],
    ['cannot be loaded', 'export default {', /cannot be loaded: /],
    ['throws', 'throw new Error("no cluster for me")', /cannot be loaded: no cluster for me/],
    ['lacks a method', "export default { name: 'mine', prepareImages: async () => [] }", /is no agent driver:\n.*must be a function\n.*plan/s],
    ['misspells a key', `export default { name: 'mine', fualts: [], ${methods} }`, /is no agent driver:\n.*fualts/s],
  ])('that %s is a usage error that says so', async (_what, text, message) => {
    await expect(loadDriver(file(text))).rejects.toMatchObject({ blame: 'usage', message: expect.stringMatching(message) as string, hint: expect.stringContaining('docs/agents.md') as string })
  })

  it('that is not there is a usage error', async () => expect(loadDriver('./no-driver.ts')).rejects.toMatchObject({ blame: 'usage', message: '--agent ./no-driver.ts: there is no such file' }))

  it('is named by its whole path, as other processes see it', () => {
    expect(driverSpec('./mine.ts')).toBe(join(process.cwd(), 'mine.ts'))
    expect(driverSpec('lash')).toBe('lash')
  })
})

describe('what is given for an agent', () => {
  const driver: AgentDriver = { name: 'mine', options: { mode: { description: 'how', values: ['fast', 'slow'] } }, prepareImages: () => Promise.resolve([]), plan: () => Promise.reject(new Error('unused')) }
  it.each([
    [{ manifests: ['x'] }, '--agent-manifests: mine brings its own'],
    [{ images: ['x'] }, '--agent-image: mine makes its own'],
    [{ fault: 'x' }, 'unknown fault "x" of agent mine'],
    [{ settings: { mod: 'fast' } }, '--agent-option mod: mine has no such option (did you mean "mode"?)'],
    [{ settings: { mode: 'slwo' } }, '--agent-option mode=slwo: takes fast, slow (did you mean "slow"?)'],
  ])('%j is refused by a driver that does not take it', (options, message) => expect(() => checkAgentOptions(driver, options)).toThrow(message))
  it('is taken otherwise', () => expect(() => checkAgentOptions({ ...driver, takes: ['manifests', 'images'] }, { manifests: ['x'], images: ['y'], settings: { mode: 'slow' } })).not.toThrow())
})

describe('a capability', () => {
  const has = { driver: 'mine', capabilities: { monitor: true, services: 'it has no load-balancer' } } as const
  it('that the agent has lets a test run', () => expect(lackReason(['monitor'], has)).toBeUndefined())
  it('that it lacks is a reason, with the driver\'s own', () => expect(lackReason(['monitor', 'services'], has)).toMatch(/^needs services, which mine lacks: it has no load-balancer$/))
  it('of which its driver does not speak is one too', () => expect(lackReason(['tunnel'], has)).toMatch(/lacks: its driver does not say that it can$/))
  it('that nobody knows is an error of the test', () => expect(() => lackReason(['servics'], has)).toThrow('no agent can have the capability "servics" (did you mean "services"?)'))
})

describe('a saved handle', () => {
  it('is read as it was', () => {
    const whole: AgentHandle = { ...agent, version: '1.2.5', monitor: { form: 'text', args: ['monitor'] }, capabilities: { monitor: true, tunnel: 'no tunnels' }, tunnel: 'geneve', cleanup: 'kind: DaemonSet', patience: 4 }
    for (const handle of [agent, whole]) expect(agentHandleSchema.parse(JSON.parse(JSON.stringify(handle)))).toEqual(handle)
  })
})

describe('fatal log lines', () => {
  const fatal = ciliumFatal
  it.each(['panic: runtime error: index out of range', 'x POTENTIAL DEADLOCK: y', 'Segmentation fault (core dumped)', 'NACK received for version 3', 'level=fatal msg="no bpf"'])('%s', (line) => expect(fatalLines(`level=info ok\n${line}\n`, { fatal })).toEqual([line]))
  it('are not made of ordinary ones', () => expect(fatalLines('level=warning msg="do not panic: all is well"\nlevel=error msg=x', { fatal })).toEqual([]))
  it('are those that the driver names', () => expect(fatalLines('panic: x', { fatal: [] })).toEqual([]))
})
