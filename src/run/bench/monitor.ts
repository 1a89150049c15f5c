import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { attachAgent, type Agent } from '../../agent/index.ts'
import { kubeClient, kubectl, namespaceTakesPods } from '../../cluster/index.ts'
import type { Context } from '../../core/context.ts'
import { KernelbedError } from '../../core/errors.ts'
import { startService } from '../../core/service.ts'
import { waitFor } from '../../core/wait.ts'
import { Fence, isPacket, markerCommand, MonitorStream, parseCpuList, type FenceNode } from '../../monitor/index.ts'
import { bringUp } from '../bring-up.ts'
import type { E2eOptions } from '../options.ts'
import type { Up } from '../up.ts'
import type { Comparison } from './compare.ts'

const namespace = 'kernelbed-bench'
const pod = 'target'
const burst = 500

/**
 * A packet from a node to a pod of it, to the typed event in hand: through the framework's open, fenced stream; beside a person's way, `kubectl exec … cilium monitor`
 * started for the step and read line by line. And the events of a burst, counted until all are there.
 */
export async function monitorComparison(spec: string, options: E2eOptions, ctx: Context): Promise<Comparison> {
  const up = await bringUp(spec, options, ctx, () => undefined)
  const agent = await attachAgent(up.cluster.handle, up.agent.handle)
  const node = up.machines[0]!
  const target = await deploy(up, ctx)
  const stream = new MonitorStream(node.name, await agent.monitor(node.name))
  ctx.registry.claim('monitor', () => stream.stop())
  const fenced: FenceNode = { name: node.name, stream, cpus: parseCpuList((await node.exec('cat /sys/devices/system/cpu/online')).stdout), target, mark: (ip, ports) => node.exec(markerCommand(ip, ports)) }
  const fence = new Fence(fenced)
  await fence.open()
  const flood = (to: number): Promise<unknown> => node.exec(`bash -c 'for i in $(seq ${burst}); do echo kernelbed >/dev/udp/${target}/${to}; done'`)
  const ours = async (): Promise<number[]> => {
    const start = performance.now()
    await fence.open()
    const first = performance.now() - start
    const from = stream.next
    const floodStart = performance.now()
    await flood(7001)
    await waitFor({ name: `${burst} events`, timeoutMs: 60_000, intervalMs: 5, signal: ctx.signal, blame: 'agent' }, () => {
      const seen = stream.slice(from).events.filter((event) => isPacket(event) && event.summary.dst === target && event.summary.dstPort === 7001).length
      return seen >= burst ? { done: undefined } : { seen: `${seen} events` }
    })
    return [first, (performance.now() - floodStart) / 1000]
  }
  return {
    metrics: [
      { name: 'a step: from its start to the event of its packet', unit: 'ms', better: 'less', digits: 0 },
      { name: `a burst of ${burst} packets to the last of their events`, unit: 's', better: 'less', digits: 2 },
    ],
    sides: [
      { name: 'kernelbed\'s open, fenced stream', measure: ours },
      { name: 'kubectl exec … monitor', measure: () => byHand(up, agent, { node: node.name, target, flood, exec: (command) => node.exec(command) }, ctx) },
    ],
  }
}

interface Step { readonly node: string; readonly target: string; readonly flood: (port: number) => Promise<unknown>; readonly exec: (command: string) => Promise<unknown> }

/** Starts the monitor, waits until it says that it listens, sends, and looks for the line. */
async function byHand(up: Up, agent: Agent, { node, target, flood, exec }: Step, ctx: Context): Promise<number[]> {
  const { handle } = agent
  const where = (await agent.pods()).find((each) => each.node === node)
  if (!where) throw new KernelbedError(`${handle.driver} has no pod on ${node}`, { blame: 'agent' })
  const start = performance.now()
  const logFile = join(ctx.dir, 'logs', `by-hand-${Math.round(start)}.log`)
  const service = await startService(ctx.registry, {
    name: 'kubectl exec', file: up.cluster.handle.kubectl, logFile, graceMs: 500,
    args: ['--kubeconfig', up.cluster.handle.kubeconfig, '-n', handle.namespace, 'exec', where.name, '-c', handle.container, '--', ...handle.cli, 'monitor', '--type', 'drop', '--type', 'trace'],
  })
  const lines = (pattern: RegExp): number => readFileSync(logFile, 'utf8').split('\n').filter((line) => pattern.test(line)).length
  const until = async (name: string, pattern: RegExp, count: number, again?: () => Promise<unknown>): Promise<void> =>
    waitFor({ name, timeoutMs: 60_000, intervalMs: 5, signal: ctx.signal, blame: 'agent', evidence: () => service.logTail(5) }, async () => {
      service.assertAlive()
      if (lines(pattern) >= count) return { done: undefined }
      await again?.()
      return { seen: `${lines(pattern)} of ${count} lines` }
    })
  try {
    // That it prints its greeting does not mean that its subscription is live, so a person would send until something is seen, as here.
    await until('an event of the packet', new RegExp(`${target.replaceAll('.', '\\.')}:7002\\b`), 1, () => exec(markerCommand(target, new Map([[0, 7002]]))))
    const first = performance.now() - start
    const floodStart = performance.now()
    await flood(7003)
    await until(`${burst} events`, new RegExp(`${target.replaceAll('.', '\\.')}:7003\\b`), burst)
    return [first, (performance.now() - floodStart) / 1000]
  } finally {
    await service.stop()
  }
}

/** A pod on the first node, and its address. */
async function deploy(up: Up, ctx: Context): Promise<string> {
  const { handle } = up.cluster
  const node = up.machines[0]!.name
  const manifest = {
    apiVersion: 'v1', kind: 'Pod', metadata: { name: pod, namespace },
    spec: { nodeName: node, automountServiceAccountToken: false, terminationGracePeriodSeconds: 0, tolerations: [{ operator: 'Exists' }], containers: [{ name: pod, image: up.workloadImage, imagePullPolicy: 'Never', command: ['sleep', '86400'] }] },
  }
  await kubectl(handle, ['create', 'namespace', namespace], { signal: ctx.signal })
  const kube = kubeClient(handle)
  await namespaceTakesPods(kube, namespace, ctx.signal)
  await kubectl(handle, ['apply', '-f', '-'], { input: JSON.stringify(manifest), signal: ctx.signal })
  return waitFor({ name: `pod ${pod} to run`, timeoutMs: 90_000, signal: ctx.signal, blame: 'cluster' }, async () => {
    const { status } = await kube.core.readNamespacedPod({ name: pod, namespace })
    return status?.phase === 'Running' && status.podIP ? { done: status.podIP } : { seen: status?.phase ?? 'no status' }
  })
}
