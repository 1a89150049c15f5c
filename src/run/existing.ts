import { join } from 'node:path'
import { findAgent, foundBy, loadDriver } from '../agent/index.ts'
import {
  apiMessage, assertAccess, chooseNodes, claimNamespaces, createNamespace, execInPod, kubeClient, labelsOf, lacksDualStack, neededPermissions, othersNamespaces, readKubeconfig, serverVersion, startNodePods, writeContext,
  type ClusterHandle, type ForeignNode, type KubeContext, type Lacks, type NodePods, type SeenNode,
} from '../cluster/index.ts'
import { runCommand } from '../core/command.ts'
import type { Context } from '../core/context.ts'
import { KernelbedError } from '../core/errors.ts'
import { inStep } from '../core/progress.ts'
import { ensureKubernetes, ensureWorkloadImage } from '../image/index.ts'
import { execOverSsh, findSshHost, readSshConfig, sshAccess, type ExecOptions, type ExecResult, type SshHost } from '../machine/index.ts'
import { probeFeatures, saveFeatures, type FeatureTable } from '../probe/index.ts'
import type { ExistingOptions } from './existing-options.ts'
import { agentOptionsOf, type E2eOptions } from './options.ts'
import type { Tell, Up } from './up.ts'

/**
 * Takes a cluster that somebody else made as it is: asks first whether all is there that a run needs, and makes nothing before; then a namespace with a pod on each node that SSH
 * does not reach. Everything made is in namespaces with the run's label, which the run's registry removes.
 */
export async function useExisting(existing: ExistingOptions, options: E2eOptions, run: string, ctx: Context, tell: Tell): Promise<Up> {
  const context = readKubeconfig(existing.kubeconfig, existing.context)
  const version = await inStep(ctx.progress, 'the API server answers', () => serverVersion(context))
  const driver = await loadDriver(options.agent)
  const { handle: where } = foundBy(driver, agentOptionsOf(options))
  const agentNamespace = existing.agentNamespace ?? where.namespace
  const own = `kernelbed-${run}`
  await inStep(ctx.progress, `what ${context.user} may do`, () => assertAccess(context, neededPermissions({ own, agent: agentNamespace, ciliumPolicies: where.capabilities['cilium-network-policy'] === true }), own))
  const kube = kubeClient({ kubeconfig: writeContext(context, ctx.dir) })
  const chosen = chooseNodes((await kube.core.listNode()).items)
  for (const line of chosen.leftOut) ctx.progress.note(`left out: ${line}`)
  const kernels = chosen.nodes.map(({ kernel }) => ({ ...kernel, digest: kernel.release }))
  tell({ kernels })
  const hosts = existing.sshConfig === undefined ? new Map<string, SshHost>() : await sshHosts(existing.sshConfig, chosen.nodes, ctx)
  const kubectl = await findKubectl(options, ctx)
  const others = await othersNamespaces(kube, run)
  if (others.length) ctx.progress.note(`other runs have namespaces here: ${others.join(', ')}; if they have ended: kubectl delete namespace ${others.join(' ')}`)

  const reachedBy = (ssh: ReadonlyMap<string, SshHost>, byPod: NodePods['byNode']): ForeignNode[] => chosen.nodes.map(({ name, kernel, address }) => {
    const [host, pod] = [ssh.get(name), byPod.get(name)]
    return { name, kernel, address, foreign: { ...(host ? { ssh: host } : {}), ...(pod ? { pod } : {}) } }
  })
  const base = { kubeconfig: join(ctx.dir, 'kubeconfig'), kubectl, version, podCidr: '', serviceCidr: '', nodeApi: endpointOf(context) }
  tell({ kernels, workloadImage: existing.workloadImage, cluster: { handle: { ...base, nodes: reachedBy(hosts, new Map()), foreign: { lacks: {}, labels: labelsOf(run) } } } })
  claimNamespaces(kube, run, ctx)
  const pods = await podsOn(chosen.nodes.filter(({ name }) => !hosts.has(name)), own, labelsOf(run), existing.workloadImage, ctx, kube)
  const cluster = { ...base, nodes: reachedBy(hosts, pods.byNode) }
  const agent = await findAgent(driver, options.agent, cluster, ctx, { ...agentOptionsOf(options), refuses: chosen.refuses }, existing.agentNamespace)
  const features = await probeNodes(cluster, ctx)
  const lacks = await lacksOf(cluster, pods, features)
  const handle: ClusterHandle = { ...cluster, foreign: { lacks, labels: labelsOf(run) } }
  return { kernels, machines: [], cluster: { handle }, agent, features, workloadImage: existing.workloadImage }
}

/** Every node that the SSH configuration has, logged in once. Throws where one does not answer: who gives the file wants it used. */
async function sshHosts(path: string, nodes: readonly SeenNode[], ctx: Context): Promise<Map<string, SshHost>> {
  const file = readSshConfig(path)
  const hosts = new Map<string, SshHost>()
  await inStep(ctx.progress, 'SSH to the nodes', async () => {
    for (const [i, node] of nodes.entries()) {
      const host = await findSshHost(file, node)
      if (host === undefined) ctx.progress.note(`${path} has no host for ${node.name} (${node.addresses.join(', ')})`)
      else hosts.set(node.name, await sshAccess({ config: path, host, control: join(ctx.sockets, `ssh-${i}`) }, ctx.signal))
    }
  })
  return hosts
}

/** The host's own kubectl; where there is none, that of our Kubernetes. */
async function findKubectl({ kubernetes }: E2eOptions, ctx: Context): Promise<string> {
  const found = kubernetes === undefined ? await runCommand('sh', ['-c', 'command -v kubectl'], { allowFailure: true }) : undefined
  return found?.stdout.trim() || join((await ensureKubernetes(kubernetes, ctx)).bin, 'kubectl')
}

function podsOn(nodes: readonly SeenNode[], namespace: string, labels: Readonly<Record<string, string>>, image: string, ctx: Context, kube: ReturnType<typeof kubeClient>): Promise<NodePods> {
  if (nodes.length === 0) return Promise.resolve({ byNode: new Map() })
  return inStep(ctx.progress, 'a pod on each node', async () => {
    await createNamespace(kube, namespace, labels).catch((error: unknown) => {
      throw new KernelbedError(`cannot make the namespace ${namespace}: ${apiMessage(error)}`, { blame: 'cluster' })
    })
    const pods = await startNodePods(kube, namespace, nodes.map(({ name }) => name), image, () => imageHint(ctx), ctx)
    if (pods.refused !== undefined) ctx.progress.note(`no pod on the nodes' network: ${pods.refused}`)
    return pods
  })
}

async function imageHint(ctx: Context): Promise<string> {
  const { path } = await ensureWorkloadImage(ctx)
  return `load it into the nodes (ctr -n k8s.io images import, kind load image-archive, minikube image load), or push it to a registry of theirs and name it with --workload-image; its tar: ${path}`
}

function endpointOf({ server }: KubeContext): ClusterHandle['nodeApi'] {
  const { hostname, port } = new URL(server)
  return { host: hostname, port: Number(port || 443) }
}

type Run = (command: string, options?: ExecOptions) => Promise<ExecResult>

/** Root's shell: on the node, or in our pod there, whose container may do all that the probe tries. */
function shellOn(cluster: Pick<ClusterHandle, 'kubeconfig'>, { foreign: { ssh, pod } }: ForeignNode): Run | undefined {
  if (ssh) return (command, options) => execOverSsh(ssh, command, options)
  return pod && ((command, options) => execInPod(cluster, pod, ['sh', '-c', command], options))
}

interface Nodes extends Pick<ClusterHandle, 'kubeconfig'> { readonly nodes: readonly ForeignNode[] }

/** What each kernel can do, tried on the node; a table without an answer where nothing of ours runs there. */
async function probeNodes(cluster: Nodes, ctx: Context): Promise<FeatureTable[]> {
  const tables = await Promise.all(cluster.nodes.map((node) => {
    const exec = shellOn(cluster, node) ?? (() => Promise.reject(new Error(`nothing of ours runs on ${node.name}`)))
    return probeFeatures({ name: node.name, handle: node, exec }, ctx)
  }))
  saveFeatures(ctx.dir, tables)
  return tables
}

const noSwitch = 'the network between the nodes is not ours'

/** What this cluster lacks of what ours have, with the reason. */
async function lacksOf(cluster: Nodes, pods: NodePods, features: readonly FeatureTable[]): Promise<Lacks> {
  const { nodes } = cluster
  const named = (lacking: readonly ForeignNode[]): string => lacking.map(({ name }) => name).join(', ')
  const [noSsh, nothing] = [nodes.filter(({ foreign }) => !foreign.ssh), nodes.filter(({ foreign }) => !foreign.ssh && !foreign.pod)]
  const unprobed = features.filter((table) => table.features.every(({ name, state }) => state === 'unknown' || name.startsWith('config:')))
  const silent = nothing.length ? [] : await withoutSshServer(cluster)
  const single = await lacksDualStack(kubeClient(cluster))
  return {
    wire: noSwitch,
    etcd: 'the etcd is somebody else\'s',
    'own-agent': 'the agent is somebody else\'s',
    ...(single === undefined ? {} : { 'dual-stack': single }),
    'dns-address': 'name service is the cluster\'s own',
    ...(noSsh.length ? { 'node:exec': `no SSH to ${named(noSsh)} (--ssh-config)` } : {}),
    ...(nothing.length ? { 'node:network': `no SSH to ${named(nothing)}, and no pod of ours there: ${pods.refused}`, 'node:ssh-server': 'nobody could look' } : {}),
    ...(silent.length ? { 'node:ssh-server': `none answered on ${named(silent)}` } : {}),
    ...(unprobed.length ? { 'node:features': unprobed.map(({ node, features: [first] }) => `could not tell on ${node}: ${first?.note ?? 'no answer'}`).join('; ') } : {}),
  }
}

/** Nodes on whose address and port 22 nobody greets, asked from themselves. */
async function withoutSshServer(cluster: Nodes): Promise<ForeignNode[]> {
  const greets = async (node: ForeignNode): Promise<boolean> => {
    const ask = node.foreign.ssh
      ? `timeout 15 bash -c 'exec 3<>/dev/tcp/${node.address}/22 && dd bs=64 count=1 status=none <&3'`
      : `/probe connect --timeout-ms 15000 ${node.address} 22`
    const { stdout } = await shellOn(cluster, node)!(ask, { allowFailure: true, timeoutMs: 30_000 })
    return stdout.includes('SSH-')
  }
  return (await Promise.all(cluster.nodes.map(async (node) => ((await greets(node)) ? [] : [node])))).flat()
}
