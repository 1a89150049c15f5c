/** Drop reasons as Cilium numbers and prints them (pkg/monitor/api of 1.1–1.2; later names of the same numbers beside them). */
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
  161: ['Failed to insert into proxymap'],
  162: ['Policy denied (CIDR)'],
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
