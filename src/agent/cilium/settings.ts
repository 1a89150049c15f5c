import { etcdConfigPath } from '../etcd-access.ts'
import { atLeast, type CiliumVersion } from './version.ts'

/** What suites need of a Cilium, whatever its version calls it. */
export interface CiliumSettings {
  readonly tunnel: 'vxlan' | 'geneve' | 'disabled'
  readonly enforcement: 'default' | 'always' | 'never'
  /** Where identities are kept; `crd` from 1.6 on. */
  readonly kvstore: 'etcd' | 'crd'
  /** Absent: as the manifests have it. Without it, from 1.6 on, pods still reach services. */
  readonly kubeProxyReplacement?: 'true' | 'false'
  /** Who tells a Cilium before 1.8 which pod a container belongs to. */
  readonly containerRuntime: 'containerd' | 'auto' | 'none'
}

/** An option of cilium-agent, by the name that its version has for it; undefined takes it out. */
export type AgentOptionValues = Readonly<Record<string, string | undefined>>

/** The one place that knows what each version calls the settings; names and values as in the command reference of each release. `keepKvstore` leaves where identities are kept as it is. */
export function optionsOf(version: CiliumVersion, settings: CiliumSettings, keepKvstore = false): AgentOptionValues {
  return {
    ...tunnelOf(version, settings),
    'enable-policy': settings.enforcement,
    // Every packet is to be seen. Versions before 1.3 know no aggregation.
    ...(atLeast(version, '1.3') ? { 'monitor-aggregation': 'none' } : {}),
    ...(atLeast(version, '1.6') && !keepKvstore ? { 'identity-allocation-mode': settings.kvstore === 'crd' ? 'crd' : 'kvstore' } : {}),
    // Pod CIDRs are given out by Kubernetes; the tunnel suite compares with them. An agent of 1.2 to 1.6 that is faster than the controller would else take a range of its own.
    ...(atLeast(version, '1.7') ? { ipam: 'kubernetes' } : atLeast(version, '1.2') ? { 'k8s-require-ipv4-pod-cidr': 'true' } : {}),
    ...(settings.kubeProxyReplacement === undefined || !atLeast(version, '1.6') ? {} : { 'kube-proxy-replacement': replacement(version, settings.kubeProxyReplacement) }),
    ...(atLeast(version, '1.1') && !atLeast(version, '1.8') ? { 'container-runtime': settings.containerRuntime } : {}),
    ...(settings.kvstore === 'etcd' && !keepKvstore ? { kvstore: 'etcd', 'kvstore-opt': kvstoreOption(version) } : {}),
  }
}

/** One option until 1.13; two from 1.14 on, and the old one is an error from 1.15 on. */
function tunnelOf(version: CiliumVersion, { tunnel }: CiliumSettings): AgentOptionValues {
  if (!atLeast(version, '1.14')) return { tunnel }
  return { tunnel: undefined, 'routing-mode': tunnel === 'disabled' ? 'native' : 'tunnel', ...(tunnel === 'disabled' ? {} : { 'tunnel-protocol': tunnel }) }
}

/** `strict` and `disabled` until 1.13. */
const replacement = (version: CiliumVersion, value: 'true' | 'false'): string => (atLeast(version, '1.14') ? value : value === 'true' ? 'strict' : 'disabled')

/** A ConfigMap's value is JSON where options are read from files (1.6 and later); an argument is `key=value`. */
const kvstoreOption = (version: CiliumVersion): string => (atLeast(version, '1.6') ? JSON.stringify({ 'etcd.config': etcdConfigPath }) : `etcd.config=${etcdConfigPath}`)
