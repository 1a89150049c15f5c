/** Drop reasons of the 1.2 datapath, by number. */
const reasons: Record<number, string> = {
  0: 'Success', 2: 'Invalid packet', 130: 'Invalid source mac', 131: 'Invalid destination mac', 132: 'Invalid source ip', 133: 'Policy denied (L3)', 134: 'Invalid packet',
  135: 'CT: Truncated or invalid header', 136: 'CT: Missing TCP ACK flag', 137: 'CT: Unknown L4 protocol', 138: "CT: Can't create entry from packet", 139: 'Unsupported L3 protocol',
  140: 'Missed tail call', 141: 'Error writing to packet', 142: 'Unknown L4 protocol', 143: 'Unknown ICMPv4 code', 144: 'Unknown ICMPv4 type', 145: 'Unknown ICMPv6 code',
  146: 'Unknown ICMPv6 type', 147: 'Error retrieving tunnel key', 148: 'Error retrieving tunnel options', 149: 'Invalid Geneve option', 150: 'Unknown L3 target address',
  151: 'Not a local target address', 152: 'No matching local container found', 153: 'Error while correcting L3 checksum', 154: 'Error while correcting L4 checksum',
  155: 'CT: Map insertion failed', 156: 'Invalid IPv6 extension header', 157: 'IPv6 fragmentation not supported', 158: 'Service backend not found', 159: 'Policy denied (L4)',
  160: 'No tunnel/encapsulation endpoint (datapath BUG!)', 161: 'Failed to insert into proxymap', 162: 'Policy denied (CIDR)',
}
export const dropReason = (reason: number): string => reasons[reason] ?? String(reason)

const points = ['to-endpoint', 'to-proxy', 'to-host', 'to-stack', 'to-overlay', 'from-endpoint', 'from-proxy', 'from-host', 'from-stack', 'from-overlay']
export const observationPoint = (point: number): string => points[point] ?? String(point)

const states = ['new', 'established', 'reply', 'related']
export const connectionState = (state: number): string => states[state] ?? String(state)
