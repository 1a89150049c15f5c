import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { V1Pod } from '@kubernetes/client-node'
import { describe, expect, it } from 'vitest'
import { KernelbedError } from '../core/errors.ts'
import { fatalLines } from './driver.ts'
import { findDriver } from './drivers.ts'
import { lash, manifests } from './lash.ts'
import type { AgentHandle } from './types.ts'
import { describe as describePod, isReady } from './wait-ready.ts'

const agentDir = join(import.meta.dirname, '../../agent')
const agent: AgentHandle = { driver: 'lash', namespace: 'kube-system', selector: 'k8s-app=cilium', container: 'cilium-agent', cli: ['cilium'] }
/** As the API server sends it. */
const pod = (status: object, metadata: object = {}): V1Pod => JSON.parse(JSON.stringify({ metadata: { name: 'cilium-x', ...metadata }, spec: { nodeName: 'node1', containers: [] }, status })) as V1Pod
const container = (more: object): V1Pod => pod({ containerStatuses: [{ name: 'cilium-agent', restartCount: 0, ready: false, ...more }] })

describe('agent drivers', () => {
  it('are found by name', () => expect(findDriver('lash').name).toBe('lash'))

  it('that are unknown are a usage error with the nearest name', () => {
    let error: unknown
    try {
      findDriver('lahs')
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(KernelbedError)
    expect(error).toMatchObject({ blame: 'usage', message: 'unknown agent "lahs" (did you mean "lash"?)', hint: 'agents: lash' })
  })

  it('offer the faults that lash\'s datapath and lash itself know', () => {
    const sources = readdirSync(join(agentDir, 'bpf'), { recursive: true, encoding: 'utf8' }).filter((file) => /\.[ch]$/.test(file)).map((file) => readFileSync(join(agentDir, 'bpf', file), 'utf8')).join('\n')
    const known = [...sources.matchAll(/(?:#ifn?def|defined\() *FAULT_([A-Z_]+)/g)].map((match) => (match[1] ?? '').toLowerCase().replaceAll('_', '-'))
    const code = readdirSync(join(agentDir, 'src'), { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts')).map((file) => readFileSync(join(agentDir, 'src', file), 'utf8')).join('\n')
    const named = [...code.matchAll(/hasFault\('([a-z0-9-]+)'\)/g)].map((match) => match[1] ?? '')
    expect([...lash.faults].sort()).toEqual([...new Set([...known, ...named])].sort())
  })
})

describe('lash\'s manifests', () => {
  it('get the API server as the nodes see it', () => {
    const text = manifests({ host: '172.31.255.1', port: 7443 })
    expect(text).toContain('k8s-api-host: 172.31.255.1\n')
    expect(text).toContain('k8s-api-port: "7443"\n')
  })

  it('blame the agent when they have no place for it', () => {
    expect(() => manifests({ host: 'h', port: 1 }, 'kind: ConfigMap\n')).toThrow('has no k8s-api-host')
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

describe('fatal log lines', () => {
  it.each(['panic: runtime error: index out of range', 'x POTENTIAL DEADLOCK: y', 'Segmentation fault (core dumped)', 'NACK received for version 3', 'level=fatal msg="no bpf"'])('%s', (line) => expect(fatalLines(`level=info ok\n${line}\n`)).toEqual([line]))
  it('are not made of ordinary ones', () => expect(fatalLines('level=warning msg="do not panic: all is well"\nlevel=error msg=x')).toEqual([]))
})
