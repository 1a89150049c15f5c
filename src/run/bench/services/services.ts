import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { attachAgent, type Agent } from '../../../agent/index.ts'
import { execInPod, kubeClient, kubectl, namespaceTakesPods, readInPod, streamInPod, type ClusterHandle, type KubeClient } from '../../../cluster/index.ts'
import type { Context } from '../../../core/context.ts'
import { KernelbedError } from '../../../core/errors.ts'
import { inStep } from '../../../core/progress.ts'
import { waitFor } from '../../../core/wait.ts'
import type { GuestStream, StartedMachine } from '../../../machine/index.ts'
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
  const probe = await readInPod(handle, where('client'), ['cat', '/probe'], { signal: ctx.signal })
  await Promise.all([node, far].map((machine) => machine.writeFile(probePath, probe, 0o755)))
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
    const rate = await streamed({ receive: () => streamInPod(handle, where('server'), ['/probe', ...receiveArgs]), send: () => sendInPod(handle, bulkOf(server).ip, ctx) }, ctx)
    const { ms } = await agent.exec(node.name, ['service', 'update', '--id', spare.id, '--frontend', spare.frontend, '--backends', `${server}:8080`], { timeoutMs: 60_000, signal: ctx.signal })
    await agent.exec(node.name, ['service', 'delete', spare.id], { timeoutMs: 60_000, signal: ctx.signal })
    return [median(times), rate, ms]
  }
  const theirs = async (): Promise<number[]> => {
    const times: number[] = []
    for (const n of chosen(count)) times.push(...timesOf(await plain.inClient(`${probePath} ${connectArgs(serviceOf(n, '').ip, connections)} --no-reply`)))
    const rate = await streamed({ receive: () => plain.serve([probePath, ...receiveArgs].join(' ')), send: () => plain.inClient([probePath, ...sendArgs(bulkOf('').ip)].join(' ')) }, ctx)
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

const receiveArgs = ['receive', String(bulkPort)]
const sendArgs = (ip: string): string[] => ['send', String(megabytes), ip, String(bulkPort)]
const sendInPod = (handle: ClusterHandle, ip: string, ctx: Context): Promise<unknown> => execInPod(handle, where('client'), ['/probe', ...sendArgs(ip)], { timeoutMs: 180_000, signal: ctx.signal })

/** How the two ends of a stream are run, each by `receiveArgs` and `sendArgs` of the workload's program. */
interface Ends { readonly receive: () => Promise<GuestStream>; readonly send: () => Promise<unknown> }

const receivedSchema = z.object({ bytes: z.number(), ms: z.number() })

/** Megabits a second: what came, by the clock of the machine that it came to. Throws KernelbedError unless all of it came. */
async function streamed({ receive, send }: Ends, ctx: Context): Promise<number> {
  const stream = await receive()
  try {
    const lines: string[] = []
    stream.onLine((line) => lines.push(line))
    const lineOf = (at: number, name: string): Promise<string> => waitFor({ name, timeoutMs: 30_000, intervalMs: 50, signal: ctx.signal, blame: 'host' }, () => Promise.resolve(lines.length > at ? { done: lines[at]! } : { seen: lines.join('\n') || 'nothing' }))
    await lineOf(0, 'the receiver of the stream to listen')
    await send()
    const { bytes, ms } = receivedSchema.parse(JSON.parse(await lineOf(1, 'the receiver to say what came')))
    if (bytes !== megabytes * 2 ** 20) throw new KernelbedError(`of a stream of ${megabytes} MiB only ${bytes} bytes came`, { blame: 'agent' })
    return (bytes * 8) / 1e3 / ms
  } finally {
    await stream.stop()
  }
}

async function tunnelSides({ up: { cluster: { handle } }, agent, node, far, farServer }: Bench, release: string, ctx: Context): Promise<Comparison> {
  const [near, there] = await plainTunnel([node, far])
  const ours = (): Promise<number> => streamed({ receive: () => streamInPod(handle, where('far'), ['/probe', ...receiveArgs]), send: () => sendInPod(handle, farServer, ctx) }, ctx)
  const theirs = (): Promise<number> => streamed({
    receive: () => there.node.stream(there.command([probePath, ...receiveArgs].join(' '))),
    send: () => near.node.exec(near.command([probePath, ...sendArgs(there.ip)].join(' ')), { timeoutMs: 180_000, signal: ctx.signal }),
  }, ctx)
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
