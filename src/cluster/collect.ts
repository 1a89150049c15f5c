import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { V1Pod } from '@kubernetes/client-node'
import { kubeClient, kubectl } from './client.ts'
import type { ClusterHandle } from './types.ts'

const kinds = ['nodes', 'namespaces', 'pods', 'services', 'endpoints', 'endpointslices', 'daemonsets', 'deployments', 'replicasets', 'configmaps', 'serviceaccounts', 'networkpolicies', 'clusterroles', 'clusterrolebindings', 'customresourcedefinitions', 'leases']

/** Writes text files; a part that cannot be had becomes a line of `missing.txt`. */
export class Collector {
  readonly #dir: string
  readonly #missing: string[] = []

  constructor(dir: string) {
    this.#dir = dir
    mkdirSync(dir, { recursive: true })
  }

  /** Writes what `body` answers to `file`; nothing is written for an empty text. Never throws. */
  async part(file: string, body: () => Promise<string>): Promise<void> {
    try {
      const text = await body()
      if (text !== '') this.#write(file, text)
    } catch (error) {
      this.#missing.push(`${file}: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`)
    }
  }

  finish(): void {
    if (this.#missing.length) this.#write('missing.txt', `${this.#missing.join('\n')}\n`)
  }

  #write(file: string, text: string): void {
    const path = join(this.#dir, file)
    mkdirSync(join(path, '..'), { recursive: true })
    writeFileSync(path, text)
  }
}

/**
 * Writes the cluster's state into `outDir`: objects of all namespaces as YAML (custom resources too), events, `describe` of pods and nodes,
 * and every container's log, current and previous. Never throws; `missing.txt` names what could not be had.
 */
export async function collectCluster(handle: ClusterHandle, outDir: string): Promise<void> {
  const collector = new Collector(outDir)
  const run = async (...args: string[]): Promise<string> => (await kubectl(handle, args, { timeoutMs: 20_000 })).stdout
  await Promise.all([
    ...kinds.map((kind) => collector.part(`${kind}.yaml`, () => run('get', kind, '-A', '-o', 'yaml'))),
    collector.part('events.txt', () => run('get', 'events', '-A', '--sort-by=.metadata.creationTimestamp')),
    collector.part('overview.txt', () => run('get', 'nodes,pods,services,endpoints,daemonsets', '-A', '-o', 'wide')),
    collector.part('describe-pods.txt', () => run('describe', 'pods', '-A')),
    collector.part('describe-nodes.txt', () => run('describe', 'nodes')),
    collector.part('custom', async () => (await collectCustom(collector, run), '')),
    collector.part('logs', async () => (await collectLogs(handle, collector), '')),
  ])
  collector.finish()
}

/**
 * Of somebody else's cluster: the nodes, and what is in the namespaces that the run made (found by their labels) and in those named besides, of which only pods, DaemonSets
 * and events are looked at. Never throws.
 */
export async function collectNamespaces(handle: ClusterHandle, { labels }: NonNullable<ClusterHandle['foreign']>, others: readonly string[], outDir: string): Promise<void> {
  const collector = new Collector(outDir)
  const run = async (...args: string[]): Promise<string> => (await kubectl(handle, args, { timeoutMs: 20_000 })).stdout
  let own: readonly string[] = []
  await collector.part('namespaces.txt', async () => {
    own = (await run('get', 'namespaces', '-l', Object.entries(labels).map(([key, value]) => `${key}=${value}`).join(','), '-o', 'jsonpath={.items[*].metadata.name}')).split(' ').filter(Boolean)
    return own.join('\n')
  })
  await Promise.all([
    collector.part('nodes.yaml', () => run('get', 'nodes', '-o', 'yaml')),
    ...[...own, ...others].flatMap((namespace) => [
      collector.part(`${namespace}/overview.txt`, () => run('-n', namespace, 'get', own.includes(namespace) ? 'pods,services,endpoints,networkpolicies' : 'pods,daemonsets', '-o', 'wide')),
      collector.part(`${namespace}/describe-pods.txt`, () => run('-n', namespace, 'describe', 'pods')),
      collector.part(`${namespace}/events.txt`, () => run('-n', namespace, 'get', 'events', '--sort-by=.metadata.creationTimestamp')),
    ]),
  ])
  collector.finish()
}

async function collectCustom(collector: Collector, run: (...args: string[]) => Promise<string>): Promise<void> {
  const names = (await run('get', 'customresourcedefinitions', '-o', 'jsonpath={.items[*].metadata.name}')).split(' ').filter(Boolean)
  await Promise.all(names.map((name) => collector.part(`custom/${name}.yaml`, () => run('get', name, '-A', '-o', 'yaml'))))
}

async function collectLogs(handle: ClusterHandle, collector: Collector): Promise<void> {
  const { core } = kubeClient(handle)
  const pods = (await core.listPodForAllNamespaces()).items
  await Promise.all(pods.flatMap((pod) => containersOf(pod).flatMap(({ container, restarts }) => {
    const [name = '', namespace = ''] = [pod.metadata?.name, pod.metadata?.namespace]
    const log = (previous: boolean) => (): Promise<string> => core.readNamespacedPodLog({ name, namespace, container, previous })
    const base = `logs/${namespace}_${name}_${container}`
    return [collector.part(`${base}.log`, log(false)), ...(restarts > 0 ? [collector.part(`${base}.previous.log`, log(true))] : [])]
  })))
}

function containersOf(pod: V1Pod): { container: string; restarts: number }[] {
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])]
  return statuses.filter(({ state }) => state?.waiting?.reason !== 'ContainerCreating' && state?.waiting?.reason !== 'PodInitializing')
    .map(({ name, restartCount }) => ({ container: name, restarts: restartCount }))
}
