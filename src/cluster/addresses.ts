/** The numbers of docs/architecture.md that the cluster is built on. */
export const addresses = {
  /** API server as nodes and pods see it; on `lo` of every node. */
  nodeApi: { host: '172.31.255.1', port: 6443 },
  /** The etcd that a cluster offers to its agent, where nodes see it; beside the API server. */
  agentEtcd: { host: '172.31.255.1', port: 2379 },
  podCidr: '10.244.0.0/16',
  /** A /24 a node. */
  nodeCidrMask: 24,
  serviceCidr: '10.96.0.0/16',
  /** Cluster IPs of IPv6, for services that ask for them. */
  serviceCidr6: 'fd96::/112',
  /** The `kubernetes` service: first address of the service CIDR. */
  kubernetesService: '10.96.0.1',
  /** What kubelet tells pods of the name service; a server is there when somebody makes the service. */
  dns: '10.96.0.10',
  clusterDomain: 'cluster.local',
  kubeletPort: 10250,
} as const
