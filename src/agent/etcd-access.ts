import { readFileSync } from 'node:fs'
import type { V1Container, V1PodSpec } from '@kubernetes/client-node'
import type { AgentEtcd, ClusterHandle } from '../cluster/index.ts'
import { KernelbedError, usageError } from '../core/errors.ts'
import type { KubeObject } from './manifests.ts'

/** Where an agent finds the configuration of its etcd client (the YAML of etcd's own clients), in Cilium's manifests of every version. */
export const etcdConfigPath = '/var/lib/etcd-config/etcd.config'
const secretsPath = '/var/lib/etcd-secrets'
const secretName = 'cilium-etcd-secrets'

/** The etcd that a cluster offers to its agent. Throws KernelbedError where its driver did not ask for one. */
export function etcdOf({ etcd }: Pick<ClusterHandle, 'etcd'>): AgentEtcd {
  if (etcd) return etcd
  throw new KernelbedError('the cluster offers no etcd to the agent', { blame: 'agent', hint: 'its driver must ask for one: needsEtcd (src/agent/driver.ts)' })
}

/** The ConfigMap that Cilium's installers and lash have their options in. Throws a usage error when there is none. */
export function configMapIn(objects: readonly KubeObject[]): KubeObject {
  const map = objects.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === 'cilium-config')
  if (!map) throw usageError('--agent-manifests: there is no ConfigMap cilium-config', 'give the whole of it: ConfigMap, RBAC and DaemonSet, in one file or a folder')
  return map
}

/** An agent's DaemonSet among manifests. */
export interface EtcdClient { readonly daemonSet: KubeObject; readonly pod: V1PodSpec; readonly container: V1Container }

/** Gives an agent what it needs to reach an etcd, in place: its client's configuration in the ConfigMap, its certificates in a Secret, both mounted where Cilium's manifests mount them. */
export function giveEtcd(objects: KubeObject[], { daemonSet, pod, container }: EtcdClient, etcd: AgentEtcd): void {
  const map = configMapIn(objects)
  map['data'] = { ...(map['data'] as object | undefined), 'etcd-config': etcdConfig(etcd) }
  const present = objects.findIndex(({ kind, metadata }) => kind === 'Secret' && metadata.name === secretName)
  objects.splice(present < 0 ? objects.length : present, present < 0 ? 0 : 1, etcdSecret(etcd, daemonSet.metadata.namespace))
  mount(pod, container, { name: 'etcd-config-path', configMap: { name: map.metadata.name, items: [{ key: 'etcd-config', path: 'etcd.config' }] } }, etcdConfigPath.slice(0, etcdConfigPath.lastIndexOf('/')))
  mount(pod, container, { name: 'etcd-secrets', secret: { secretName } }, secretsPath)
}

const etcdConfig = ({ endpoint }: AgentEtcd): string => `---
endpoints:
  - ${endpoint}
ca-file: ${secretsPath}/etcd-ca
key-file: ${secretsPath}/etcd-client-key
cert-file: ${secretsPath}/etcd-client-crt
`

function etcdSecret({ ca, client }: AgentEtcd, namespace: string | undefined): KubeObject {
  const base64 = (file: string): string => readFileSync(file).toString('base64')
  const data = { 'etcd-ca': base64(ca), 'etcd-client-key': base64(client.key), 'etcd-client-crt': base64(client.cert) }
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name: secretName, ...(namespace === undefined ? {} : { namespace }) }, type: 'Opaque', data }
}

/** What is mounted there already is replaced: manifests have it as the user's, optional or with other keys. */
function mount(pod: V1PodSpec, container: V1Container, volume: NonNullable<V1PodSpec['volumes']>[number], mountPath: string): void {
  const before = container.volumeMounts?.find((each) => each.mountPath === mountPath)
  const name = before?.name ?? volume.name
  pod.volumes = [...(pod.volumes ?? []).filter((each) => each.name !== name), { ...volume, name }]
  if (!before) (container.volumeMounts ??= []).push({ name, mountPath, readOnly: true })
}
