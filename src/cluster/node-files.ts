import { readFileSync } from 'node:fs'
import { addresses } from './addresses.ts'
import { kubeconfigText } from './kubeconfig.ts'
import type { KeyPair } from './pki.ts'

/** What a node is set up with. */
export interface NodeFiles {
  readonly name: string
  /** InternalIP. */
  readonly address: string
  readonly minor: number
  /** CA certificate. */
  readonly ca: string
  /** `system:node:<name>`. */
  readonly client: KeyPair
  readonly serving: KeyPair
  readonly pauseImage: string
}

export interface GuestFile { readonly path: string; readonly content: string; readonly mode: number }

/** Everything that is written into a machine before containerd and kubelet start. */
export function nodeFiles(node: NodeFiles): GuestFile[] {
  const { host, port } = addresses.nodeApi
  return [
    { path: '/etc/containerd/config.toml', content: containerdConfig(node.pauseImage), mode: 0o644 },
    { path: '/etc/kubernetes/ca.crt', content: readFileSync(node.ca, 'utf8'), mode: 0o644 },
    { path: '/etc/kubernetes/kubelet.crt', content: readFileSync(node.serving.cert, 'utf8'), mode: 0o644 },
    { path: '/etc/kubernetes/kubelet.key', content: readFileSync(node.serving.key, 'utf8'), mode: 0o600 },
    { path: '/etc/kubernetes/kubeconfig', content: kubeconfigText(`https://${host}:${port}`, node.ca, `system:node:${node.name}`, node.client), mode: 0o600 },
    { path: '/etc/kubernetes/kubelet.json', content: `${JSON.stringify(kubeletConfig(node.minor), undefined, 1)}\n`, mode: 0o644 },
  ]
}

/** containerd 1.6 (configuration version 2). Plug-ins for storage that nodes don't have are off: each one probes at start. */
export function containerdConfig(pauseImage: string): string {
  const off = ['snapshotter.v1.aufs', 'snapshotter.v1.btrfs', 'snapshotter.v1.devmapper', 'snapshotter.v1.zfs', 'snapshotter.v1.native', 'internal.v1.opt', 'internal.v1.tracing', 'tracing.processor.v1.otlp']
  return `version = 2
disabled_plugins = [${off.map((name) => `"io.containerd.${name}"`).join(', ')}]

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  disable_apparmor = true

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/opt/cni/bin"
  conf_dir = "/etc/cni/net.d"
`
}

/** KubeletConfiguration: everything that only costs time on a node that lives for minutes is off (pod cgroups, eviction, image collection, volume statistics). The lease is renewed each quarter of its time, which restoring waits for; a request for it has no longer than that quarter, so on a busy host 8 s were too few. */
export function kubeletConfig(minor: number): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1', kind: 'KubeletConfiguration',
    address: '0.0.0.0', port: addresses.kubeletPort, readOnlyPort: 0, healthzPort: 0,
    authentication: { anonymous: { enabled: false }, webhook: { enabled: true, cacheTTL: '10m' }, x509: { clientCAFile: '/etc/kubernetes/ca.crt' } },
    authorization: { mode: 'Webhook', webhook: { cacheAuthorizedTTL: '10m' } },
    tlsCertFile: '/etc/kubernetes/kubelet.crt', tlsPrivateKeyFile: '/etc/kubernetes/kubelet.key', rotateCertificates: false,
    cgroupDriver: 'cgroupfs', cgroupsPerQOS: false, enforceNodeAllocatable: [], cpuManagerPolicy: 'none', cpuCFSQuota: false, failSwapOn: false,
    clusterDomain: addresses.clusterDomain, clusterDNS: [addresses.dns], resolvConf: '',
    evictionHard: {}, imageGCHighThresholdPercent: 100, imageGCLowThresholdPercent: 99, volumeStatsAggPeriod: '1h',
    containerLogMaxSize: '50Mi', serializeImagePulls: false, maxPods: 60,
    nodeStatusUpdateFrequency: '2s', nodeStatusReportFrequency: '1m', nodeLeaseDurationSeconds: 8, syncFrequency: '10s', fileCheckFrequency: '1h',
    kubeAPIQPS: 100, kubeAPIBurst: 200, eventRecordQPS: 100, eventBurst: 200, registryPullQPS: 0,
    ...(minor < 25 ? { featureGates: { LocalStorageCapacityIsolation: false } } : { localStorageCapacityIsolation: false }),
  }
}

export function kubeletArgs({ name, address, minor, pauseImage }: Pick<NodeFiles, 'name' | 'address' | 'minor' | 'pauseImage'>): string[] {
  return [
    '--config=/etc/kubernetes/kubelet.json', '--kubeconfig=/etc/kubernetes/kubeconfig', `--hostname-override=${name}`, `--node-ip=${address}`,
    ...(minor < 27 ? ['--container-runtime=remote'] : []), '--container-runtime-endpoint=unix:///run/containerd/containerd.sock',
    ...(minor < 31 ? [`--pod-infra-container-image=${pauseImage}`] : []), '--cert-dir=/var/lib/kubelet/pki',
    // Five logs of what crashed before: with the default of one, `logs --previous` is often empty while a pod crash-loops.
    '--maximum-dead-containers-per-container=5', '--housekeeping-interval=1m', '--global-housekeeping-interval=10m', '--v=1',
  ]
}
