import type { KeyPair } from './pki.ts'
import { addresses } from './addresses.ts'

/** Files and addresses of the etcd for the agent. */
export interface AgentEtcdFiles {
  readonly dataDir: string
  /** On this host's loopback. */
  readonly port: number
  readonly peerUrl: string
  /** As nodes reach it. */
  readonly endpoint: string
  readonly ca: KeyPair
  readonly serving: KeyPair
}

/** Files and addresses that the control plane's programs are told about. */
export interface ControlPlaneFiles {
  /** Second number of the Kubernetes version: flags differ. */
  readonly minor: number
  readonly etcd: { readonly dataDir: string; readonly clientUrl: string; readonly peerUrl: string }
  readonly apiPort: number
  readonly ca: KeyPair
  readonly serving: KeyPair
  readonly kubeletClient: KeyPair
  readonly serviceAccounts: { readonly key: string; readonly publicKey: string }
  readonly egressConfig: string
  readonly controllerKubeconfig: string
  readonly schedulerConfig: string
}

/** Of the admission plug-ins that are on by default, those that watch volumes, which no suite has. */
const admissionOff = ['DefaultStorageClass', 'StorageObjectInUseProtection', 'PersistentVolumeClaimResize', 'DefaultIngressClass']

/** Controllers of volumes, autoscaling and bootstrap tokens: nothing here uses them, and each one watches. */
const controllersOff = ['attachdetach', 'bootstrapsigner', 'cronjob', 'horizontalpodautoscaling', 'persistentvolume-binder', 'persistentvolume-expander', 'pv-protection', 'pvc-protection', 'tokencleaner', 'ttl-after-finished', 'service', 'route', 'cloud-node-lifecycle']

/** Whether services can have cluster IPs of both families. Before 1.20 they had fields for it that nobody speaks any more. */
const isDualStack = (minor: number): boolean => minor >= 20

/** Of the API server and the controller manager, which chooses the family of endpoints. The gate is off before 1.21, and gone after 1.24. kubelet needs none: it tells of every address that CNI gave. */
const dualStackGate = (minor: number): string[] => (minor === 20 ? ['IPv6DualStack=true'] : [])

const gates = (list: readonly string[]): string[] => (list.length ? [`--feature-gates=${list.join(',')}`] : [])

export const etcdArgs = ({ etcd: { dataDir, clientUrl, peerUrl } }: ControlPlaneFiles): string[] => memberArgs({ name: 'kernelbed', dataDir, peerUrl, listen: clientUrl, advertised: clientUrl })

/** Takes clients with a certificate of its CA only. The gateway inside shows the server's own. */
export const agentEtcdArgs = ({ dataDir, port, peerUrl, endpoint, ca, serving }: AgentEtcdFiles): string[] => [
  ...memberArgs({ name: 'agent', dataDir, peerUrl, listen: `https://127.0.0.1:${port}`, advertised: endpoint }),
  `--cert-file=${serving.cert}`, `--key-file=${serving.key}`, `--trusted-ca-file=${ca.cert}`, '--client-cert-auth=true',
]

/** The one member of an etcd. */
function memberArgs({ name, dataDir, peerUrl, listen, advertised }: { readonly name: string; readonly dataDir: string; readonly peerUrl: string; readonly listen: string; readonly advertised: string }): string[] {
  return [
    `--name=${name}`, `--data-dir=${dataDir}`, `--listen-client-urls=${listen}`, `--advertise-client-urls=${advertised}`,
    `--listen-peer-urls=${peerUrl}`, `--initial-advertise-peer-urls=${peerUrl}`, `--initial-cluster=${name}=${peerUrl}`,
    // One member elects itself after one election timeout, so this is start-up time; 5 heartbeats is the least etcd takes.
    '--heartbeat-interval=10', '--election-timeout=50', '--logger=zap', '--log-level=warn',
  ]
}

export function apiServerArgs(files: ControlPlaneFiles): string[] {
  return [
    '--bind-address=127.0.0.1', `--secure-port=${files.apiPort}`, ...(files.minor < 24 ? ['--insecure-port=0'] : []),
    // Nodes see another address and port than this one binds, so the endpoints of `kubernetes` are written by us (endpoints.ts).
    `--advertise-address=${addresses.nodeApi.host}`, '--endpoint-reconciler-type=none',
    `--etcd-servers=${files.etcd.clientUrl}`, `--service-cluster-ip-range=${[addresses.serviceCidr, ...(isDualStack(files.minor) ? [addresses.serviceCidr6] : [])].join(',')}`,
    `--tls-cert-file=${files.serving.cert}`, `--tls-private-key-file=${files.serving.key}`, `--client-ca-file=${files.ca.cert}`,
    `--kubelet-client-certificate=${files.kubeletClient.cert}`, `--kubelet-client-key=${files.kubeletClient.key}`, `--kubelet-certificate-authority=${files.ca.cert}`,
    '--kubelet-preferred-address-types=InternalIP', `--egress-selector-config-file=${files.egressConfig}`,
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local', `--service-account-key-file=${files.serviceAccounts.publicKey}`, `--service-account-signing-key-file=${files.serviceAccounts.key}`,
    '--authorization-mode=Node,RBAC', '--anonymous-auth=true', '--enable-admission-plugins=NodeRestriction', `--disable-admission-plugins=${admissionOff.join(',')}`,
    '--allow-privileged=true', '--profiling=false', '--event-ttl=24h', '--enable-bootstrap-token-auth=false',
    ...gates([...(files.minor < 29 ? ['APIPriorityAndFairness=false'] : []), ...dualStackGate(files.minor)]),
  ]
}

export function controllerManagerArgs(files: ControlPlaneFiles): string[] {
  return [
    `--kubeconfig=${files.controllerKubeconfig}`, '--bind-address=127.0.0.1', '--secure-port=0', ...(files.minor < 24 ? ['--port=0'] : []),
    '--leader-elect=false', '--use-service-account-credentials=true', `--controllers=*,${controllersOff.map((name) => `-${name}`).join(',')}`,
    '--allocate-node-cidrs=true', `--cluster-cidr=${addresses.podCidr}`, `--node-cidr-mask-size=${addresses.nodeCidrMask}`, `--service-cluster-ip-range=${addresses.serviceCidr}`,
    `--root-ca-file=${files.ca.cert}`, `--service-account-private-key-file=${files.serviceAccounts.key}`,
    `--cluster-signing-cert-file=${files.ca.cert}`, `--cluster-signing-key-file=${files.ca.key}`,
    '--kube-api-qps=200', '--kube-api-burst=400', '--node-monitor-period=1s', '--profiling=false', ...gates(dualStackGate(files.minor)),
  ]
}

export function schedulerArgs(files: ControlPlaneFiles): string[] {
  return [`--config=${files.schedulerConfig}`, '--bind-address=127.0.0.1', '--secure-port=0', ...(files.minor < 24 ? ['--port=0'] : [])]
}

/** Retries unschedulable pods after at most 1 s instead of 10: nodes become Ready while pods wait for them. */
export function schedulerConfig(minor: number, kubeconfig: string, port: number): object {
  return {
    apiVersion: `kubescheduler.config.k8s.io/${minor < 22 ? 'v1beta1' : minor < 25 ? 'v1beta2' : 'v1'}`, kind: 'KubeSchedulerConfiguration',
    clientConnection: { kubeconfig, qps: 200, burst: 400 }, leaderElection: { leaderElect: false },
    podInitialBackoffSeconds: 1, podMaxBackoffSeconds: 1, enableProfiling: false,
    // With a configuration file these versions listen, --port=0 or not, and their default is every address.
    ...(minor < 25 ? { healthzBindAddress: `127.0.0.1:${port}`, metricsBindAddress: `127.0.0.1:${port}` } : {}),
  }
}

/** Sends the API server's connections to nodes, pods and services through the node link (link-main.ts). */
export function egressConfig(linkSocket: string): object {
  return {
    apiVersion: 'apiserver.k8s.io/v1beta1', kind: 'EgressSelectorConfiguration',
    egressSelections: [{ name: 'cluster', connection: { proxyProtocol: 'HTTPConnect', transport: { uds: { udsName: linkSocket } } } }],
  }
}
