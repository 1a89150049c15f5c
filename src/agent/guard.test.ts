import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { ClusterHandle } from '../cluster/index.ts'
import type { Context } from '../core/context.ts'
import { explain, KernelbedError, usageError } from '../core/errors.ts'
import { checkAgentOptions, loadDriver } from './drivers.ts'
import type { AgentDriver, InstallPlan } from './driver.ts'
import { guarded } from './guard.ts'

const dir = mkdtempSync(join(tmpdir(), 'kb-guard-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const abort = new AbortController()
const ctx = { signal: abort.signal } as Context
const cluster = {} as ClusterHandle
const handle: InstallPlan['handle'] = { namespace: 'kube-system', selector: 'app=mine', container: 'agent', cli: ['mine'], capabilities: { monitor: true }, fatal: ['^panic: '], dumps: [] }
const driver: AgentDriver = { name: 'mine', prepareImages: () => Promise.resolve([]), plan: () => Promise.resolve({ manifests: 'kind: Pod', handle }) }
const mine = (more: object): AgentDriver => guarded({ ...driver, ...more }, './mine.ts')
const boom = (): never => {
  throw new Error('no such thing')
}
const planned = (plan: unknown): Promise<InstallPlan> => mine({ plan: () => Promise.resolve(plan) }).plan(cluster, ctx, {})

describe('a driver of one\'s own', () => {
  it('is left as it is where it does what it should', async () => {
    const refine = () => Promise.resolve({ ...handle, version: '2' })
    const plan = await planned({ manifests: 'kind: Pod', handle, notes: ['x'], refine })
    expect(plan).toMatchObject({ manifests: 'kind: Pod', handle, notes: ['x'] })
    expect(await plan.refine!(() => Promise.resolve(''))).toEqual({ ...handle, version: '2' })
    expect(mine({})).not.toHaveProperty('find')
    expect(mine({ installDigest: () => 'd' }).installDigest!({})).toBe('d')
  })

  it.each<[string, () => unknown]>([
    ['check', () => checkAgentOptions(mine({ check: boom }), {})],
    ['prepareImages', () => mine({ prepareImages: boom }).prepareImages(ctx, {}, {} as never)],
    ['needsEtcd', () => mine({ needsEtcd: boom }).needsEtcd!(ctx, {}, {} as never)],
    ['installDigest', () => mine({ installDigest: boom }).installDigest!({})],
    ['plan', () => mine({ plan: boom }).plan(cluster, ctx, {})],
    ['refine', async () => (await planned({ manifests: 'x', handle, refine: boom })).refine!(() => Promise.resolve(''))],
    ['find', () => mine({ find: boom }).find!({})],
    ['ask', () => mine({ find: () => ({ handle, ask: boom }) }).find!({}).ask!(() => Promise.resolve(undefined))],
  ])('that throws in %s is one message that says so, of the agent\'s', async (phase, attempt) => {
    const error: unknown = await Promise.resolve().then(attempt).catch((cause: unknown) => cause)
    expect(error).toMatchObject({ blame: 'agent', exitCode: 3, message: `the driver ./mine.ts failed in ${phase}: no such thing` })
    expect(explain(error)).not.toMatch(/^\s*at .*\(/m)
  })

  it('tells where in its file it threw', async () => {
    const file = join(dir, 'half-way.ts')
    writeFileSync(file, "export default {\n  name: 'half-way',\n  prepareImages: async () => [],\n  plan: async () => {\n    throw new TypeError('cannot read the template')\n  },\n}\n")
    const error: unknown = await (await loadDriver(file)).plan(cluster, ctx, {}).catch((cause: unknown) => cause)
    expect(explain(error)).toBe(`error (agent): the driver ${file} failed in plan: cannot read the template\n  | at half-way.ts:5:11\n  → plan is the driver's own code (docs/agents.md); what it had made is removed with the run`)
  })

  it('keeps what a command of its said', async () => {
    const told = new KernelbedError('exit code 1: helm template', { blame: 'host', details: 'Error: chart not found' })
    const error: unknown = await mine({ plan: () => Promise.reject(told) }).plan(cluster, ctx, {}).catch((cause: unknown) => cause)
    expect(explain(error)).toMatch(/^error \(agent\): the driver \.\/mine\.ts failed in plan\n {2}error \(host\): exit code 1: helm template\n {4}\| Error: chart not found\n/)
  })

  it('may refuse options as the framework does, before anything is started', async () => {
    await expect(mine({ prepareImages: () => Promise.reject(usageError('--agent-image x: is of another agent')) }).prepareImages(ctx, {}, {} as never)).rejects.toMatchObject({ blame: 'usage', message: '--agent-image x: is of another agent' })
    await expect(mine({ plan: () => Promise.reject(usageError('too late')) }).plan(cluster, ctx, {})).rejects.toMatchObject({ blame: 'agent' })
    expect(() => checkAgentOptions(mine({ check: () => { throw usageError('--agent-option x: takes y') } }), {})).toThrow(expect.objectContaining({ blame: 'usage', message: '--agent-option x: takes y' }) as Error)
  })

  it.each<[string, unknown, RegExp]>([
    ['nothing', undefined, /failed in plan: its answer is not what plan must answer:/],
    ['no manifests', { handle }, /manifests/],
    ['a key that nobody reads', { manifests: 'x', handle, note: [] }, /note/],
    ['no selector', { manifests: 'x', handle: { ...handle, selector: '' } }, /plan: handle is not that of an agent:.*selector/s],
    ['no handle', { manifests: 'x' }, /failed in plan: .*→ at handle$/sm],
    ['a capability that no agent has', { manifests: 'x', handle: { ...handle, capabilities: { servics: true } } }, /no agent can have the capability "servics" \(did you mean "services"\?\)/],
    ['a form that no monitor has', { manifests: 'x', handle: { ...handle, monitor: { form: 'xml', args: [] } } }, /handle\.?.*monitor\.form|monitor\.form/s],
    ['a pattern that is none', { manifests: 'x', handle: { ...handle, fatal: ['('] } }, /is no regular expression.*fatal/s],
    ['a pattern that is not text', { manifests: 'x', handle: { ...handle, fatal: [/panic/] } }, /fatal/],
    ['a refine that is none', { manifests: 'x', handle, refine: 'x' }, /must be a function/],
  ])('whose plan is %s is told what is wrong with it', async (_what, plan, message) => {
    const error: unknown = await planned(plan).catch((cause: unknown) => cause)
    expect(explain(error)).toMatch(message)
    expect(error).toMatchObject({ blame: 'agent' })
  })

  it('names images that are there', async () => {
    await expect(mine({ prepareImages: () => Promise.resolve([{ ref: 'a/b:1', path: join(dir, 'none.tar'), digest: 'd' }]) }).prepareImages(ctx, {}, {} as never)).rejects.toMatchObject({ details: expect.stringMatching(/there is no such file[^]*path/) as string })
  })

  it('answers at once where that is asked for', () => {
    expect(() => checkAgentOptions(mine({ check: () => Promise.reject(new Error('late')) }), {})).toThrow('failed in check: check must answer at once, not by a promise')
  })

  it('that does not come to an end does not keep a run from being stopped', async () => {
    const stop = new AbortController()
    const planning = mine({ plan: () => new Promise(() => undefined) }).plan(cluster, { signal: stop.signal } as Context, {})
    stop.abort()
    await expect(planning).rejects.toThrow('stopped while waiting for plan of ./mine.ts')
  })
})
