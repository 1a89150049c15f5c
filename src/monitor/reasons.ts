/** Drop reasons as Cilium numbers and prints them (pkg/monitor/api/drop.go, 1.0 to the newest): the first name that a number had, then what later versions call it. */
const NAMES: Readonly<Record<number, readonly [string, ...string[]]>> = {
  0: ['Success'],
  2: ['Invalid packet'],
  130: ['Invalid source mac'],
  131: ['Invalid destination mac'],
  132: ['Invalid source ip'],
  133: ['Policy denied (L3)', 'Policy denied'],
  134: ['Invalid packet'],
  135: ['CT: Truncated or invalid header'],
  136: ['CT: Missing TCP ACK flag'],
  137: ['CT: Unknown L4 protocol'],
  138: ["CT: Can't create entry from packet"],
  139: ['Unsupported L3 protocol'],
  140: ['Missed tail call'],
  141: ['Error writing to packet'],
  142: ['Unknown L4 protocol'],
  143: ['Unknown ICMPv4 code'],
  144: ['Unknown ICMPv4 type'],
  145: ['Unknown ICMPv6 code'],
  146: ['Unknown ICMPv6 type'],
  147: ['Error retrieving tunnel key'],
  148: ['Error retrieving tunnel options'],
  149: ['Invalid Geneve option'],
  150: ['Unknown L3 target address'],
  151: ['Not a local target address', 'Stale or unroutable IP'],
  152: ['No matching local container found'],
  153: ['Error while correcting L3 checksum'],
  154: ['Error while correcting L4 checksum'],
  155: ['CT: Map insertion failed'],
  156: ['Invalid IPv6 extension header'],
  157: ['IPv6 fragmentation not supported', 'IP fragmentation not supported'],
  158: ['Service backend not found'],
  159: ['Policy denied (L4)'],
  160: ['No tunnel/encapsulation endpoint (datapath BUG!)'],
  161: ['Failed to insert into proxymap', 'NAT 46/64 not enabled'],
  162: ['Policy denied (CIDR)', 'Reached EDT rate-limiting drop horizon'],
  163: ['Unknown connection tracking state'],
  164: ['Local host is unreachable'],
  165: ['No configuration available to perform policy decision'],
  166: ['Unsupported L2 protocol'],
  167: ['No mapping for NAT masquerade'],
  168: ['Unsupported protocol for NAT masquerade'],
  169: ['FIB lookup failed'],
  170: ['Encapsulation traffic is prohibited'],
  171: ['Invalid identity'],
  172: ['Unknown sender'],
  173: ['NAT not needed'],
  174: ['Is a ClusterIP'],
  175: ['First logical datagram fragment not found'],
  176: ['Forbidden ICMPv6 message'],
  177: ['Denied by LB src range check'],
  178: ['Socket lookup failed'],
  179: ['Socket assign failed'],
  180: ['Proxy redirection not supported for protocol'],
  181: ['Policy denied by denylist'],
  182: ['VLAN traffic disallowed by VLAN filter'],
  183: ['Incorrect VNI from VTEP'],
  184: ['Failed to update or lookup TC buffer'],
  185: ['No SID was found for the IP address'],
  186: ['SRv6 state was removed during tail call'],
  187: ['L3 translation from IPv4 to IPv6 failed (NAT46)'],
  188: ['L3 translation from IPv6 to IPv4 failed (NAT64)'],
  189: ['Authentication required'],
  190: ['No conntrack map found'],
  191: ['No nat map found'],
  192: ['Invalid ClusterID'],
  193: ['Unsupported packet protocol for DSR encapsulation'],
  194: ['No egress gateway found'],
  195: ['Traffic is unencrypted'],
  196: ['TTL exceeded'],
  197: ['No node ID found'],
  198: ['Rate limited'],
}

const CODES = new Map(Object.entries(NAMES).flatMap(([code, names]) => names.map((name) => [name.toLowerCase(), Number(code)] as const)))

/** Cilium's name of a drop reason; undefined for a number it doesn't know. */
export const reasonName = (code: number): string | undefined => NAMES[code]?.[0]

/** Number of a drop reason; a bare number is taken as it is (newer Ciliums add reasons), an unknown name gives undefined. */
export function reasonCode(name: string): number | undefined {
  const text = name.trim()
  return /^\d+$/.test(text) ? Number(text) : CODES.get(text.toLowerCase())
}

/** Whether two spellings (name of any version, or number) mean the same reason. */
export function sameReason(a: string | number, b: string | number): boolean {
  const [codeA, codeB] = [reasonCode(String(a)), reasonCode(String(b))]
  return codeA !== undefined && codeB !== undefined ? codeA === codeB : String(a).trim().toLowerCase() === String(b).trim().toLowerCase()
}

/** Every name, for "did you mean". */
export const reasonNames = (): string[] => Object.values(NAMES).flatMap((names) => [...names])
