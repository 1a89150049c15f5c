/** Real Kubernetes: its control plane on this host, machines as nodes. */
export { restoreCluster, saveControlPlane, startCluster, type ClusterSpec, type RestoredClusterSpec, type StartedCluster } from './start.ts'
export { makeImagesDisk } from './images-disk.ts'
export { kubeClient, kubectl, type KubeClient } from './client.ts'
export { execInPod, streamInPod, PodCommandError, type ContainerRef } from './pod-exec.ts'
export { collectCluster, Collector } from './collect.ts'
export type { Api } from './api.ts'
export { minorOf as kubernetesMinor } from './version.ts'
export type { ClusterHandle } from './types.ts'
