import { etcdRef, workloadRef } from '../../image/index.ts'
import type { KubeObject } from '../manifests.ts'

/** Ports of an etcd beside the ones that clusters have (2379, 2380). */
const port = 32379

export const etcdEndpoint = (address: string): string => `http://${address}:${port}`

/**
 * An etcd for Cilium alone, on one node and its network: without TLS, on the wire between machines only, with its data in the pod. The cluster's own listens on a socket of the host
 * that no node reaches, and whoever writes there owns the cluster.
 */
export function etcdPod(node: { readonly name: string; readonly address: string }, namespace: string): KubeObject {
  const url = etcdEndpoint(node.address)
  const peer = `http://127.0.0.1:${port + 1}`
  return {
    apiVersion: 'v1', kind: 'Pod', metadata: { name: 'cilium-etcd', namespace, labels: { app: 'cilium-etcd' } },
    spec: {
      nodeName: node.name, hostNetwork: true, automountServiceAccountToken: false, terminationGracePeriodSeconds: 1, tolerations: [{ operator: 'Exists' }],
      containers: [{
        name: 'etcd', image: etcdRef, imagePullPolicy: 'Never',
        command: [
          '/etcd', '--name=cilium', '--data-dir=/data', `--listen-client-urls=${url}`, `--advertise-client-urls=${url}`, `--listen-peer-urls=${peer}`, `--initial-advertise-peer-urls=${peer}`,
          `--initial-cluster=cilium=${peer}`, '--logger=zap', '--log-level=warn',
        ],
        volumeMounts: [{ name: 'data', mountPath: '/data' }],
      }],
      volumes: [{ name: 'data', emptyDir: {} }],
    },
  }
}

/**
 * Holds an agent back until its etcd answers: an old one ends when it does not find it, and its restarts are counted. By nc, as the wget of Debian's static busybox ends with a
 * segmentation fault (getaddrinfo of a static glibc).
 */
export const waitForEtcd = ({ address }: { readonly address: string }): object => ({
  name: 'wait-for-etcd', image: workloadRef, imagePullPolicy: 'Never',
  command: ['/bin/sh', '-c', `until printf 'GET /health HTTP/1.0\\r\\n\\r\\n' | nc -w 2 ${address} ${port} | grep -q '"health":"true"'; do sleep 1; done`],
})
