import { createHash } from 'node:crypto'
import { stringify } from 'yaml'
import { kubeClient, type ClusterHandle } from '../cluster/index.ts'
import { KernelbedError } from '../core/errors.ts'
import { workloadRef } from '../image/index.ts'
import type { AgentDriver, InstallPlan } from './driver.ts'

const name = 'plain-cni'
const namespace = 'kube-system'

/** A node's part of the network. */
export interface PlainNode { readonly name: string; readonly address: string; readonly podCidr: string }

/**
 * The control: Debian's containernetworking-plugins (bridge, host-local), which the guest image has, and a route to each other node's pods. No policy, no load-balancer,
 * no tunnel, no monitor: a suite that passes on it says nothing about these.
 */
export const plainCni: AgentDriver = {
  name,
  // The node's part is a shell script, for which the workload's busybox does.
  prepareImages: () => Promise.resolve([]),
  installDigest: () => createHash('sha256').update(plainManifests([{ name: 'n', address: '10.0.0.1', podCidr: '10.1.0.0/24' }], workloadRef)).digest('hex'),
  find: () => ({ handle }),
  plan: async (cluster) => ({ manifests: plainManifests(await nodesOf(cluster), workloadRef), handle }),
}

const routed = 'packets are routed between nodes as they are'
const addresses = 'plain CNI plugins know addresses only'
const unbalanced = 'there is no load-balancer, and no kube-proxy'
const open = 'bridges and routes let everything through'

const handle: InstallPlan['handle'] = {
  namespace, selector: `app=${name}`, container: 'node', cli: [],
  capabilities: {
    endpoints: addresses, identities: addresses, monitor: 'nothing reports what becomes of a packet', 'network-policy': open, 'cilium-network-policy': open, 'http-policy': open, 'fqdn-policy': open, 'policy-cli': open, 'policy-status': open, 'drops-fragments': open,
    services: unbalanced, 'node-port': unbalanced, 'session-affinity': unbalanced, 'service-cli': unbalanced, ipv6: 'pods get IPv4 addresses only', 'ipv6-services': unbalanced, tunnel: routed, 'tunnel-map': routed,
  },
  fatal: [], dumps: [],
}

async function nodesOf({ kubeconfig, nodes }: ClusterHandle): Promise<PlainNode[]> {
  const { items } = await kubeClient({ kubeconfig }).core.listNode()
  return nodes.map((node) => {
    const podCidr = items.find(({ metadata }) => metadata?.name === node.name)?.spec?.podCIDR
    if (podCidr === undefined) throw new KernelbedError(`${node.name} has no pod CIDR to give out addresses from`, { blame: 'cluster', hint: 'the controller manager gives them: --allocate-node-cidrs, --cluster-cidr' })
    return { name: node.name, address: node.address, podCidr }
  })
}

/** The configuration that kubelet's runtime reads (CNI specification 0.4.0). */
const conflist = ({ podCidr }: PlainNode): object => ({
  cniVersion: '0.4.0', name,
  plugins: [{ type: 'bridge', bridge: 'cni0', isGateway: true, hairpinMode: true, ipam: { type: 'host-local', ranges: [[{ subnet: podCidr }]], routes: [{ dst: '0.0.0.0/0' }] } }],
})

/** What each node does, on itself: the routes first, as the configuration is what makes it Ready. */
const script = `set -e
[ -e /host/bin/bridge ] || { echo "this node has no CNI plugins: /opt/cni/bin/bridge is missing (Debian: containernetworking-plugins)"; exit 1; }
while read -r cidr via; do ip route replace "$cidr" via "$via"; done < "/config/$NODE.routes"
echo 1 > /proc/sys/net/ipv4/ip_forward
cp "/config/$NODE.conflist" /host/net.d/10-${name}.conflist.new
mv /host/net.d/10-${name}.conflist.new /host/net.d/10-${name}.conflist
`

/** A ConfigMap with each node's configuration and routes, and a DaemonSet that puts them there. */
export function plainManifests(nodes: readonly PlainNode[], image: string): string {
  const routes = (node: PlainNode): string => nodes.filter((other) => other !== node).map(({ podCidr, address }) => `${podCidr} ${address}\n`).join('')
  const data = Object.fromEntries(nodes.flatMap((node) => [[`${node.name}.conflist`, JSON.stringify(conflist(node), undefined, 1)], [`${node.name}.routes`, routes(node)]]))
  const hostPath = (volume: string, path: string): object => ({ name: volume, hostPath: { path, type: 'DirectoryOrCreate' } })
  const labels = { app: name }
  const pod = {
    hostNetwork: true, terminationGracePeriodSeconds: 0, automountServiceAccountToken: false, tolerations: [{ operator: 'Exists' }],
    initContainers: [{
      name: 'network', image, imagePullPolicy: 'IfNotPresent', command: ['/bin/sh', '-c', script], securityContext: { privileged: true },
      env: [{ name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
      volumeMounts: [{ name: 'config', mountPath: '/config' }, { name: 'net-d', mountPath: '/host/net.d' }, { name: 'bin', mountPath: '/host/bin', readOnly: true }],
    }],
    containers: [{ name: handle.container, image, imagePullPolicy: 'IfNotPresent', command: ['/bin/sleep', '1000000000'] }],
    volumes: [{ name: 'config', configMap: { name } }, hostPath('net-d', '/etc/cni/net.d'), hostPath('bin', '/opt/cni/bin')],
  }
  return [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data },
    { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name, namespace, labels }, spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: pod } } },
  ].map((object) => stringify(object)).join('---\n')
}
