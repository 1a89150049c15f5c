import type { V1Pod } from '@kubernetes/client-node'
import { describe, expect, it } from 'vitest'
import { lash } from './lash.ts'
import { expectedMissing, missingOf, refusalLines } from './refusal.ts'
import { judge } from './settled.ts'

const refusal = lash.refusal!
const bypass = refusal.bypass!
const fatal = 'level=fatal msg="kernel version: NOT OK: minimal supported kernel version is >= 4.8.0; kernel version that is running is: 4.4.220" subsys=daemon'

describe('the line that refuses a kernel', () => {
  it('is found, with both versions', () => expect(refusalLines(`level=info msg=x\n${fatal}\n`, refusal)).toEqual([{ line: fatal, running: '4.4.220', minimal: refusal.minimal }]))
  it('is not one that ended the agent for another reason', () => expect(refusalLines('level=fatal msg="the kernel lacks 6 features"\n', refusal)).toEqual([]))
  it('is not the warning of an agent that goes on', () => expect(refusalLines(`${fatal.replace('fatal', 'warning')}; going on`, refusal)).toEqual([]))
})

describe('what a kernel lacks', () => {
  const line = 'level=error msg="qdisc clsact: not supported by this kernel (RTM_NEWQDISC: ENOENT); came with 4.5" subsys=datapath'
  const helper = 'level=error msg="BPF helper skb_load_bytes: not supported by this kernel (BPF_PROG_LOAD: EINVAL, invalid func 26); came with 4.5; needed by from_container, lb4" subsys=datapath'

  it('is read from the log, a line a feature', () => expect(missingOf(`level=info msg=x\n${line}\n${helper}\nlevel=fatal msg="the kernel lacks 2 features" subsys=datapath\n`, bypass)).toEqual([
    { line, feature: 'qdisc clsact', answer: 'RTM_NEWQDISC: ENOENT', since: '4.5' },
    { line: helper, feature: 'BPF helper skb_load_bytes', answer: 'BPF_PROG_LOAD: EINVAL, invalid func 26', since: '4.5' },
  ]))

  it('is expected by the version that brought it', () => {
    expect(expectedMissing(bypass, '4.4.178')).toEqual(bypass.needs)
    expect(expectedMissing(bypass, '4.6.7').map(({ feature }) => feature)).toEqual(['BPF helper perf_event_output', 'BPF helper skb_change_type', 'BPF helper get_hash_recalc'])
    expect(expectedMissing(bypass, '4.9.154')).toEqual([])
  })
})

describe('a pod of the agent has settled', () => {
  const agent = { driver: 'lash', namespace: 'kube-system', selector: 'k8s-app=cilium', container: 'cilium-agent', cli: ['cilium'], capabilities: {}, fatal: [], dumps: [] }
  const pod = (status: object): V1Pod => ({ metadata: { name: 'cilium-x' }, spec: { nodeName: 'node1', containers: [] }, status })
  const container = (state: object, more: object = {}): object => ({ containerStatuses: [{ name: 'cilium-agent', restartCount: 1, ready: false, state, ...more }] })
  const ended = { lastState: { terminated: { exitCode: 1, reason: 'Error' } } }

  it('when it waits to be started again', () => expect(judge(pod(container({ waiting: { reason: 'CrashLoopBackOff' } }, ended)), agent)).toEqual([{ node: 'node1', pod: 'cilium-x', ready: false, exitCode: 1, state: 'CrashLoopBackOff, restarted 1 time, before that it ended with exit code 1 (Error)' }]))
  it('when it is ready', () => expect(judge(pod({ conditions: [{ type: 'Ready', status: 'True' }], ...container({ running: {} }, { restartCount: 0, ready: true }) }), agent)).toMatchObject([{ node: 'node1', ready: true }]))
  it('when it has ended once, if that is enough', () => expect(judge(pod(container({ terminated: { exitCode: 7 } })), agent, true)).toMatchObject([{ ready: false, exitCode: 7 }]))
  it.each([['creating', container({ waiting: { reason: 'ContainerCreating' } })], ['running', container({ running: {} }, ended)], ['ended once', container({ terminated: { exitCode: 1 } })], ['not there', {}]])('not while it is %s', (_what, status) => expect(judge(pod(status), agent)).toEqual([]))
})
