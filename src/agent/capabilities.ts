import { didYouMean } from '../core/closest.ts'
import { KernelbedError } from '../core/errors.ts'

/** What an agent can do that not every agent can, each with what a test that needs it uses. */
export const capabilities = {
  endpoints: 'its command line lists an endpoint with an identity for each pod',
  identities: 'pods of the same labels have the same identity, on every node, and its command line names the labels',
  monitor: 'it prints an event for what its datapath does with a packet',
  'agent-events': 'its monitor tells of policies and endpoints (`-t agent`), and an endpoint can be had to tell debug messages (`-v -t debug`)',
  captures: 'its monitor prints packets of an endpoint that debugs as they come to the load-balancer and as they leave for the proxy (`-t capture`)',
  'lost-events': 'its monitor says how many events the rings of the kernel had no room for',
  'network-policy': 'it enforces NetworkPolicy',
  'cilium-network-policy': 'it enforces CiliumNetworkPolicy',
  'fqdn-policy': 'its policy knows names (`toFQDNs`, `matchName`), and it asks for their addresses itself',
  'http-policy': 'it decides on HTTP requests, answers 403 to those that policy denies, and its monitor prints them',
  'policy-cli': 'its command line imports, validates, traces and deletes rules',
  'policy-yaml': 'its command line reads rules in YAML too',
  'icmp-policy': 'its policy knows types of ICMP (`icmps`)',
  'policy-status': 'the status of a CiliumNetworkPolicy says of each node whether it is enforced, or why not',
  'drops-fragments': 'it drops datagrams that were cut into fragments, and says so',
  services: 'pods reach services by their cluster IP, and its command line lists them',
  'node-port': 'services with a node port or an external IP are answered at every node, for pods and nodes',
  'session-affinity': 'a service with affinity gives each client one backend',
  'service-cli': 'its command line makes, changes and deletes services',
  'service-weights': 'backends of services that its command line makes have weights',
  'conntrack-list': 'its command line lists connections (`bpf ct list global`) with their ends, the seconds they have left, and flags that tell of their closing',
  kvstore: 'identities and addresses of pods are kept in an etcd, which its status names and its command line reads',
  'identity-gc': 'an identity goes from its lists when no pod has it any more',
  'config-cli': 'its command line shows and changes options while it runs',
  metrics: 'it serves what it counts to Prometheus, under Cilium\'s names',
  health: 'its status tells which nodes can be reached',
  refusals: 'its datapath takes IPv6 prefixes of 16 lengths, and its status tells of what it refuses',
  'status-at-start': 'its command line says what it waits for while it starts without the API server',
  cleanup: 'once its pods are gone, a manifest (`AgentHandle.cleanup`) takes what it has put on the nodes off them again',
  bugtool: 'its command line makes an archive of its state for bug reports',
  prefilter: 'its command line denies prefixes ahead of everything else, by XDP',
  'prefilter-mode': 'its status says whether that XDP runs in the driver (`native`) or in the stack (`generic`)',
  'health-cli': '`cilium-health status` asks nodes and endpoints, and tells of each whether it answers',
  'bpf-lists': 'its command line lists the policy of endpoints and the counters of drops, as the datapath has them (`bpf policy`, `bpf metrics`)',
  'state-dir': 'each endpoint has a folder in /var/run/cilium/state of its node',
  'endpoint-objects': 'Kubernetes lists a CiliumEndpoint for each pod, with id, identity, addresses, state and enforcement',
  cni: 'its CNI plugin answers as the specification says, and to ADD again with the address that there is',
  'pod-mtu': 'pods have links whose packets fit into a tunnel whole: 50 bytes less than the node\'s',
  tunnel: 'between nodes, packets of pods travel in a tunnel (of the protocol in `AgentHandle.tunnel`) with the identity of the sender',
  ipv6: 'pods have an IPv6 address too, which its command line lists; their packets go through the same tunnels',
  'ipv6-services': 'services have cluster IPs, external IPs and node ports of IPv6 too, which its command line lists',
  'tunnel-map': 'its command line lists the pod CIDR and address of every other node',
} as const

export type Capability = keyof typeof capabilities
export const capabilityNames = Object.keys(capabilities) as Capability[]

/** `true`, or in words why not. Of what is left out nothing is known. */
export type Capabilities = Readonly<Partial<Record<Capability, true | string>>>

/**
 * Why a test that needs these capabilities is not for this agent; undefined when it has them all. What its driver does not speak of it does not have. Throws
 * KernelbedError for a capability that nobody knows.
 */
export function lackReason(needs: readonly string[], agent: { readonly driver: string; readonly capabilities: Capabilities }): string | undefined {
  const lacking = needs.map(known).flatMap((name) => {
    const has = agent.capabilities[name]
    return has === true ? [] : [`needs ${name}, which ${agent.driver} lacks: ${has ?? 'its driver does not say that it can'}`]
  })
  return lacking.length ? lacking.join('; ') : undefined
}

function known(name: string): Capability {
  const found = capabilityNames.find((each) => each === name)
  if (found === undefined) throw new KernelbedError(`no agent can have the capability "${name}"${didYouMean(name, capabilityNames)}`, { blame: 'test', hint: `capabilities: ${capabilityNames.join(', ')}` })
  return found
}
