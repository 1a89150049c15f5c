/**
 * Faults that can be built into lash, to prove that the suites notice them. Those of the datapath are defines of agent/bpf (`wrong-vni` is
 * -DFAULT_WRONG_VNI), those of the agent itself are asked for by name (src/fault.ts).
 */
export const faults: Readonly<Record<string, string>> = {
  'policy-forgets-drop': 'The verdict of a policy is reported, but the packet is delivered all the same.',
  'tunnel-bypass': 'Packets to pods of other nodes are routed by the underlay, without encapsulation.',
  'ignores-tunnel-option': 'The tunnel is VXLAN, whatever was asked for.',
  'service-one-backend': 'A service always chooses its first backend.',
  'monitor-loses-drops': 'Packets are dropped without an event.',
  'no-reverse-nat': 'Replies of a service keep their backend\'s address.',
  'wrong-vni': 'The tunnel carries a wrong identity.',
  'wrong-drop-reason': 'A packet denied by policy is reported with another reason.',
  'swapped-identities': 'Events have source and destination identity the wrong way round.',
  'shortest-prefix-wins': 'Of the prefixes that have an address the shortest counts, so that exceptions of a rule are none.',
  'egress-not-enforced': 'What policy says of a pod\'s own packets is not heeded.',
  'replies-denied': 'Answers to what a pod began are subject to its ingress policy.',
  'forgets-affinity': 'A client of a service with session affinity gets any backend.',
  'nodeport-local-only': 'Answers of a node port\'s backend on another node don\'t come back by the node that was asked.',
  'forgets-node-ports': 'A service\'s node port is served at no node.',
  'fragments-pass': 'The first fragment of a datagram passes, and the others are dropped for another reason.',
  'no-related': 'ICMP errors are not told to belong to the flow that they are about.',
  'ipv6-policy-forgets-drop': 'What an ingress policy denies is delivered all the same, if it is IPv6.',
  'ipv6-egress-not-enforced': 'What policy says of a pod\'s own packets is not heeded for IPv6.',
  'ipv6-replies-denied': 'Answers to what a pod began by IPv6 are subject to its ingress policy.',
  'ipv6-wrong-vni': 'The tunnel carries a wrong identity with IPv6 packets.',
  'update-opens-window': 'While the policy of an endpoint changes, it is not enforced for a moment.',
  'restart-forgets-policy': 'When the agent returns, its endpoints are without policy until it has been worked out anew.',
  'policy-status-hides-errors': 'The status of a policy says that it is in force although it was refused.',
  'refuses-silently': 'On a kernel that is too old the agent ends without a word.',
  'refuses-with-wrong-version': 'On a kernel that is too old the fatal line names another running version.',
  'refuses-with-exit-code-0': 'On a kernel that is too old the agent ends as if all were well.',
  'ignores-old-kernel': 'The kernel\'s version is not checked, so that the agent ends for another reason.',
  'overlooks-missing-clsact': 'A missing qdisc clsact is not reported with what else the kernel lacks.',
}

/** What the C compiler is told. */
export const defineOf = (fault: string): string => `-DFAULT_${fault.toUpperCase().replaceAll('-', '_')}`
