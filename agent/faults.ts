/**
 * Faults that can be built into lash, to prove that the suites notice them. Those of the datapath are defines of agent/bpf (`wrong-vni` is
 * -DFAULT_WRONG_VNI), those of the agent itself are asked for by name (src/fault.ts).
 */
export const faults: Readonly<Record<string, string>> = {
  'policy-forgets-drop': 'The verdict of a policy is reported, but the packet is delivered all the same.',
  'tunnel-bypass': 'Packets to pods of other nodes are routed by the underlay, without encapsulation.',
  'service-one-backend': 'A service always chooses its first backend.',
  'monitor-loses-drops': 'Packets are dropped without an event.',
  'no-reverse-nat': 'Replies of a service keep their backend\'s address.',
  'wrong-vni': 'The tunnel carries a wrong identity.',
  'wrong-drop-reason': 'A packet denied by policy is reported with another reason.',
  'swapped-identities': 'Events have source and destination identity the wrong way round.',
  'refuses-silently': 'On a kernel that is too old the agent ends without a word.',
  'refuses-with-wrong-version': 'On a kernel that is too old the fatal line names another running version.',
  'refuses-with-exit-code-0': 'On a kernel that is too old the agent ends as if all were well.',
  'ignores-old-kernel': 'The kernel\'s version is not checked, so that the agent ends for another reason.',
  'overlooks-missing-clsact': 'A missing qdisc clsact is not reported with what else the kernel lacks.',
}

/** What the C compiler is told. */
export const defineOf = (fault: string): string => `-DFAULT_${fault.toUpperCase().replaceAll('-', '_')}`
