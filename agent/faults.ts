/**
 * Faults that can be built into lash, to prove that the suites notice them. Each is a define of agent/bpf: `wrong-vni` is -DFAULT_WRONG_VNI.
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
}

/** What the C compiler is told. */
export const defineOf = (fault: string): string => `-DFAULT_${fault.toUpperCase().replaceAll('-', '_')}`
