import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { attachAgent, type Agent } from '../../../agent/index.ts'
import { execInPod, kubeClient, kubectl, namespaceTakesPods, readInPod, streamInPod, type ClusterHandle, type KubeClient } from '../../../cluster/index.ts'
import type { Context } from '../../../core/context.ts'
import { KernelbedError } from '../../../core/errors.ts'
import { inStep } from '../../../core/progress.ts'
import { waitFor } from '../../../core/wait.ts'
import type { StartedMachine } from '../../../machine/index.ts'
import { bringUp } from '../../bring-up.ts'
import type { E2eOptions } from '../../options.ts'
import type { Up } from '../../up.ts'
import { compare, median, samplesText, type Comparison, type Metric, type Samples } from '../compare.ts'
import { plainSide, plainTunnel, probePath, type PlainSide } from './plain.ts'
import { plotsSvg } from './plot.ts'
import type { Rule } from './rules.ts'

const namespace = 'kernelbed-bench'
/** How many services there are, step by step. */
const counts = [10, 100, 1000, 5000] as const
const connections = 60
const megabytes = 128
const bulkPort = 5001

/** What was measured at each number of services, and of the tunnel. */
export interface ServicesResult { readonly services: readonly { readonly count: number; readonly samples: Samples }[]; readonly tunnel: Samples }

const metrics = (release: string): Metric[] => [
  { name: `a connection through a service on ${release}, median of ${3 * connections}`, unit: 'ms', better: 'less', digits: 2 },
  { name: `a TCP stream of ${megabytes} MiB through a service`, unit: 'Mbit/s', better: 'more', digits: 1 },
  { name: 'one service more', unit: 'ms', better: 'less', digits: 0 },
]

interface Bench { readonly up: Up; readonly kube: KubeClient; readonly agent: Agent; readonly node: StartedMachine; readonly far: StartedMachine; readonly server: string; readonly farServer: string; readonly plain: PlainSide }

/**
 * The agent's way to services beside iptables rules as kube-proxy writes them, at growing numbers of services, and its tunnel beside a plain VXLAN device on a bridge: both
 * on the same machines in one run. Returns what to print; `services.json` and `services.svg` are in the run's folder.
 */
export async function servicesBench(spec: string, options: E2eOptions, rounds: number, ctx: Context): Promise<string> {
  const up = await bringUp(spec, options, ctx, () => undefined)
  const bench = await setUp(up, ctx)
  const { release } = up.kernels[0]!
  const services: { count: number; samples: Samples }[] = []
  for (const [step, count] of counts.entries()) {
    await inStep(ctx.progress, `${count} services`, () => grow(bench, step === 0 ? 0 : counts[step - 1]!, count, ctx))
    services.push({ count, samples: await compare(sidesAt(bench, count, release, ctx), rounds, ctx) })
  }
  const tunnel = await compare(await tunnelSides(bench, release, ctx), rounds, ctx)
  await bench.agent.close()
  return written({ services, tunnel }, ctx)
}

/** Pods of client and servers, and the same without an agent. */
async function setUp(up: Up, ctx: Context): Promise<Bench> {
  const [node, far] = up.machines
  if (!node || !far) throw new KernelbedError('this comparison takes two machines', { blame: 'usage' })
  const { handle } = up.cluster
  const kube = kubeClient(handle)
  const agent = await attachAgent(handle, up.agent.handle)
  await kubectl(handle, ['create', 'namespace', namespace], { signal: ctx.signal })
  await namespaceTakesPods(kube, namespace, ctx.signal)
  const pods = [['client', node.name], ['server', node.name], ['far', far.name]] as const
  await kubectl(handle, ['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: pods.map(([name, on]) => podOf(name, on, up.workloadImage)) }), signal: ctx.signal })
  const ips = await waitFor({ name: 'the pods to run', timeoutMs: 120_000, intervalMs: 300, signal: ctx.signal, blame: 'cluster' }, async () => {
    const { items } = await kube.core.listNamespacedPod({ namespace })
    const found = new Map(items.flatMap(({ metadata, status }) => (status?.phase === 'Running' && status.podIP ? [[metadata?.name ?? '', status.podIP] as const] : [])))
    return found.size === pods.length ? { done: found } : { seen: `${found.size} of ${pods.length}` }
  })
  await node.writeFile(probePath, await readInPod(handle, where('client'), ['cat', '/probe'], { signal: ctx.signal }), 0o755)
  const bench = { up, kube, agent, node, far, server: ips.get('server')!, farServer: ips.get('far')!, plain: await plainSide(node, ctx) }
  await addService(kube, bulkOf(bench.server))
  return bench
}

const where = (pod: string): { namespace: string; pod: string; container: string } => ({ namespace, pod, container: 'main' })

const podOf = (name: string, node: string, image: string): object => ({
  apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace },
  spec: { nodeName: node, automountServiceAccountToken: false, enableServiceLinks: false, terminationGracePeriodSeconds: 0, tolerations: [{ operator: 'Exists' }], containers: [{ name: 'main', image, imagePullPolicy: 'Never', command: ['/probe', 'serve', '--tcp', '8080', '--name', name] }] },
})

/** The service of a number, from 0; further ones than `counts` has are by hand. */
const serviceOf = (n: number, backend: string): Rule => ({ name: `service-${n}`, ip: `10.96.${128 + (n >> 8)}.${n & 255}`, port: 80, backend: { ip: backend, port: 8080 } })
const bulkOf = (backend: string): Rule => ({ name: 'bulk', ip: '10.96.127.1', port: bulkPort, backend: { ip: backend, port: bulkPort } })

/** A service without selector, and its Endpoints. */
async function addService({ core }: KubeClient, { name, ip, port, backend }: Rule): Promise<void> {
  await core.createNamespacedEndpoints({ namespace, body: { metadata: { name }, subsets: [{ addresses: [{ ip: backend.ip }], ports: [{ port: backend.port }] }] } })
  await core.createNamespacedService({ namespace, body: { metadata: { name }, spec: { clusterIP: ip, ports: [{ port, targetPort: backend.port }] } } })
}

/** Makes services until there are so many, and waits until a pod reaches the last one; then the same in iptables. */
async function grow({ up, kube, server, plain }: Bench, from: number, to: number, ctx: Context): Promise<void> {
  const wanted = Array.from({ length: to - from }, (_, i) => serviceOf(from + i, server))
  const makers = Array.from({ length: 16 }, async () => {
    for (let rule = wanted.pop(); rule; rule = wanted.pop()) {
      ctx.signal.throwIfAborted()
      await addService(kube, rule)
    }
  })
  await Promise.all(makers)
  for (const n of [from, to - 1]) {
    await waitFor({ name: `a pod to reach service ${n + 1} of ${to}`, timeoutMs: 300_000, intervalMs: 500, signal: ctx.signal, blame: 'agent' }, async () => {
      const answer = await connectInPod(up.cluster.handle, serviceOf(n, server).ip, 1, true, ctx).catch(String)
      return answer.includes('"ok":true') ? { done: undefined } : { seen: answer.trim() }
    })
  }
  await plain.setServices(plainServices(to, plain))
}

/** Rules in order: the one for the stream is the last. */
const plainServices = (count: number, { serverIp }: PlainSide): Rule[] => [...Array.from({ length: count }, (_, n) => serviceOf(n, serverIp)), bulkOf(serverIp)]

const connectArgs = (ip: string, count: number): string => `connect --proto tcp --timeout-ms 2000 --count ${count} ${ip} 80`

async function connectInPod(handle: ClusterHandle, ip: string, count: number, reply: boolean, ctx: Context): Promise<string> {
  return (await execInPod(handle, where('client'), ['/probe', ...connectArgs(ip, count).split(' '), ...(reply ? [] : ['--no-reply'])], { timeoutMs: 180_000, signal: ctx.signal })).stdout
}

/** First, middle and last: where a rule stands in a list must not be chance. */
const chosen = (count: number): number[] => [0, count >> 1, count - 1]

function sidesAt(bench: Bench, count: number, release: string, ctx: Context): Comparison {
  const { up: { cluster: { handle } }, agent, node, server, plain } = bench
  const spare = { id: '64000', frontend: '10.96.126.1:80' }
  const ours = async (): Promise<number[]> => {
    const times: number[] = []
    for (const n of chosen(count)) times.push(...timesOf(await connectInPod(handle, serviceOf(n, server).ip, connections, false, ctx)))
    const rate = await streamed({
      sink: () => streamInPod(handle, where('server'), sinkCommand).then((stream) => () => stream.stop()),
      inSink: async (command) => (await execInPod(handle, where('server'), ['sh', '-c', command], { allowFailure: true, signal: ctx.signal })).stdout,
      send: async (command) => (await execInPod(handle, where('client'), ['sh', '-c', command], { timeoutMs: 180_000, signal: ctx.signal })).stdout,
    }, bulkOf(server).ip, ctx)
    const { ms } = await agent.exec(node.name, ['service', 'update', '--id', spare.id, '--frontend', spare.frontend, '--backends', `${server}:8080`], { timeoutMs: 60_000, signal: ctx.signal })
    await agent.exec(node.name, ['service', 'delete', spare.id], { timeoutMs: 60_000, signal: ctx.signal })
    return [median(times), rate, ms]
  }
  const theirs = async (): Promise<number[]> => {
    const times: number[] = []
    for (const n of chosen(count)) times.push(...timesOf(await plain.inClient(`${probePath} ${connectArgs(serviceOf(n, '').ip, connections)} --no-reply`)))
    const rate = await streamed({ sink: () => plain.serve(sinkCommand.at(-1)!), inSink: async (command) => (await node.exec(`ip netns exec kb-server sh -c '${command}'`, { allowFailure: true })).stdout, send: (command) => plain.inClient(command) }, bulkOf('').ip, ctx)
    const seconds = await plain.setServices([...plainServices(count, plain), { ...serviceOf(0, plain.serverIp), name: 'spare', ip: '10.96.126.1' }])
    await plain.setServices(plainServices(count, plain))
    return [median(times), rate, seconds * 1000]
  }
  return { metrics: metrics(release), sides: [{ name: agent.handle.driver, measure: ours }, { name: 'iptables', measure: theirs }] }
}

const attemptSchema = z.object({ ok: z.boolean(), ms: z.number(), error: z.string().optional() })

/** Milliseconds of each connection. Throws KernelbedError when one failed. */
function timesOf(output: string): number[] {
  return output.split('\n').filter(Boolean).map((line) => {
    const { ok, ms, error } = attemptSchema.parse(JSON.parse(line))
    if (!ok) throw new KernelbedError(`a connection through a service failed: ${error ?? 'no reason'}`, { blame: 'agent' })
    return ms
  })
}

const sinkCommand = ['sh', '-c', `exec busybox nc -l -p ${bulkPort} > /dev/null`] as const

interface Ends { readonly sink: () => Promise<() => Promise<void>>; readonly inSink: (command: string) => Promise<string>; readonly send: (command: string) => Promise<string> }

/** Megabits a second, by the clock of the machine that sends. */
async function streamed({ sink, inSink, send }: Ends, ip: string, ctx: Context): Promise<number> {
  const stop = await sink()
  try {
    await waitFor({ name: 'the receiver of the stream to listen', timeoutMs: 30_000, signal: ctx.signal, blame: 'host' }, async () => {
      const listening = await inSink(`cat /proc/net/tcp /proc/net/tcp6 | grep -ci ":${bulkPort.toString(16).padStart(4, '0')} 0*:0000 0A"`)
      return Number(listening) > 0 ? { done: undefined } : { seen: 'it does not' }
    })
    const times = (await send(`read a x < /proc/uptime; busybox dd if=/dev/zero bs=64k count=${megabytes * 16} 2> /dev/null | busybox nc ${ip} ${bulkPort}; read b x < /proc/uptime; echo $a $b`)).trim().split(' ').map(Number)
    const seconds = (times[1] ?? NaN) - (times[0] ?? NaN)
    if (!(seconds > 0)) throw new KernelbedError('the stream was not measured', { blame: 'host', details: times.join(' ') })
    return (megabytes * 2 ** 20 * 8) / 1e6 / seconds
  } finally {
    await stop()
  }
}

async function tunnelSides({ up: { cluster: { handle } }, agent, node, far, farServer }: Bench, release: string, ctx: Context): Promise<Comparison> {
  const [near, there] = await plainTunnel([node, far])
  const run = async (machine: StartedMachine, command: string): Promise<string> => (await machine.exec(command, { allowFailure: true, timeoutMs: 180_000, signal: ctx.signal })).stdout
  const ours = (): Promise<number> => streamed({
    sink: () => streamInPod(handle, where('far'), sinkCommand).then((stream) => () => stream.stop()),
    inSink: async (command) => (await execInPod(handle, where('far'), ['sh', '-c', command], { allowFailure: true, signal: ctx.signal })).stdout,
    send: async (command) => (await execInPod(handle, where('client'), ['sh', '-c', command], { timeoutMs: 180_000, signal: ctx.signal })).stdout,
  }, farServer, ctx)
  const theirs = (): Promise<number> => streamed({
    sink: () => there.node.stream(there.command(sinkCommand.at(-1)!)).then((stream) => () => stream.stop()),
    inSink: (command) => run(there.node, there.command(command)), send: (command) => run(near.node, near.command(command)),
  }, there.ip, ctx)
  return {
    metrics: [{ name: `a TCP stream of ${megabytes} MiB between nodes, through a tunnel, on ${release}`, unit: 'Mbit/s', better: 'more', digits: 1 }],
    sides: [{ name: agent.handle.driver, measure: async () => [await ours()] }, { name: 'VXLAN on a bridge', measure: async () => [await theirs()] }],
  }
}

function written(result: ServicesResult, ctx: Context): string {
  const { services, tunnel } = result
  const svg = join(ctx.dir, 'services.svg')
  mkdirSync(ctx.dir, { recursive: true })
  writeFileSync(join(ctx.dir, 'services.json'), `${JSON.stringify(result, undefined, 1)}\n`)
  writeFileSync(svg, plotsSvg(services[0]!.samples.metrics.map(({ name, unit }, metric) => ({
    title: name.replace(/ on .*/, ''), unit, x: 'services', xs: services.map(({ count }) => count),
    curves: services[0]!.samples.sides.map((side, at) => ({ name: side.name, values: services.map(({ samples }) => median(samples.sides[at]!.values[metric]!)) })),
  }))))
  return `${services.map(({ count, samples }) => `${count} services\n\n${samplesText(samples)}`).join('\n')}\nThe tunnel\n\n${samplesText(tunnel)}\nplot: ${svg}\n`
}
