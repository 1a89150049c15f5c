import { CAPTURE, DEBUG, type CaptureMessage, type DebugMessage } from '../datapath/events.ts'
import { dropReason } from './reasons.ts'
import type { InterfaceName } from './format.ts'

const ctStates = ['New', 'Established', 'Reply', 'Related']

/** The text of a debug message, in Cilium 1.2.5's words. */
export function debugText({ subtype, arg1, arg2, arg3 }: DebugMessage, ifname: InterfaceName): string {
  switch (subtype) {
    case DEBUG.localDelivery: return `Attempting local delivery for container id ${arg1} from seclabel ${arg2}`
    case DEBUG.encap: return `Encapsulating to node ${arg1} (0x${arg1.toString(16)}) from seclabel ${arg2}`
    case DEBUG.lxcFound: return `Local container found ifindex ${ifname(arg1)} seclabel ${arg2}`
    case DEBUG.policyDenied: return `Policy evaluation would deny packet from ${arg1} to ${arg2}`
    case DEBUG.ctMatch: return `CT entry found lifetime=${arg1}, revnat=${arg2}`
    case DEBUG.ctVerdict: return `CT verdict: ${ctStates[arg1] ?? dropReason(arg1)}, revnat=${arg2}`
    case DEBUG.lb6LookupMaster: return `Master service lookup, addr.p4=${arg1.toString(16)} key.dport=${arg2}`
    case DEBUG.lb6LookupMasterFail: return 'Master service lookup failed'
    case DEBUG.lb6LookupSlave: return `Slave service lookup: slave=${arg1}, dport=${arg2}`
    case DEBUG.lb6LookupSlaveSuccess: return `Slave service lookup result: target.p4=${arg1.toString(16)} port=${arg2}`
    case DEBUG.lb6ReverseNatLookup: return `Reverse NAT lookup, index=${arg1}`
    case DEBUG.lb6ReverseNat: return `Performing reverse NAT, address.p4=${arg1.toString(16)} port=${arg2}`
    case DEBUG.lb4LookupMaster: return `Master service lookup, addr.p4=${arg1.toString(16)} key.dport=${arg2}`
    case DEBUG.lb4LookupMasterFail: return 'Master service lookup failed'
    case DEBUG.lb4LookupSlave: return `Slave service lookup: slave=${arg1}, dport=${arg2}`
    case DEBUG.lb4LookupSlaveSuccess: return `Slave service lookup result: target=${ip4(arg1)} port=${arg2}`
    case DEBUG.lb4ReverseNatLookup: return `Reverse NAT lookup, index=${arg1}`
    case DEBUG.lb4ReverseNat: return `Performing reverse NAT, address=${ip4(arg1)} port=${arg2}`
    case DEBUG.lb4LoopbackSnat: return `Loopback SNAT from=${ip4(arg1)} to=${ip4(arg2)}`
    case DEBUG.lb4LoopbackSnatRev: return `Loopback reverse SNAT from=${ip4(arg1)} to=${ip4(arg2)}`
    case DEBUG.ctLookup4_1: return `Conntrack lookup 1/2: src=${ip4(arg1)}:${arg3 >>> 16} dst=${ip4(arg2)}:${arg3 & 0xffff}`
    case DEBUG.ctLookup4_2: return `Conntrack lookup 2/2: nexthdr=${arg1 >>> 8} flags=${arg1 & 0xff}`
    case DEBUG.ctCreated4: return `Conntrack create: proxy-port=${arg1 >>> 16} revnat=${arg1 & 0xffff} src-identity=${arg2} lb=${ip4(arg3)}`
    case DEBUG.ctLookup6_1: return `Conntrack lookup 1/2: src=[::${ip6(arg1)}]:${arg3 >>> 16} dst=[::${ip6(arg2)}]:${arg3 & 0xffff}`
    case DEBUG.ctLookup6_2: return `Conntrack lookup 2/2: nexthdr=${arg1 >>> 8} flags=${arg1 & 0xff}`
    case DEBUG.ctCreated6: return `Conntrack create: proxy-port=${arg1 >>> 16} revnat=${arg1 & 0xffff} src-identity=${arg2}`
    case DEBUG.ipIdMapFailed6: return `Failed to map daddr.p4=[::${ip6(arg1)}] to identity`
    case DEBUG.ipIdMapSucceed6: return `Successfully mapped daddr.p4=[::${ip6(arg1)}] to identity=${arg2}`
    case DEBUG.ipIdMapFailed4: return `Failed to map daddr=${ip4(arg1)} to identity`
    case DEBUG.ipIdMapSucceed4: return `Successfully mapped daddr=${ip4(arg1)} to identity=${arg2}`
    default: return `Unknown message type=${subtype} arg1=${arg1} arg2=${arg2}`
  }
}

/** What a capture is of, after `DEBUG: n bytes, `. */
export function captureText({ subtype, arg1 }: CaptureMessage): string {
  switch (subtype) {
    case CAPTURE.delivery: return `Delivery to ifindex ${arg1}`
    case CAPTURE.fromLb: return `Incoming packet to load balancer on ifindex ${arg1}`
    case CAPTURE.afterV46: return `Packet after nat46 ifindex ${arg1}`
    case CAPTURE.afterV64: return `Packet after nat64 ifindex ${arg1}`
    case CAPTURE.proxyPre: return `Packet to proxy port ${arg1} (Pre)`
    case CAPTURE.proxyPost: return `Packet to proxy port ${arg1} (Post)`
    default: return `Unknown message type=${subtype} arg1=${arg1}`
  }
}

/** What stands before a capture's packet in plain output; empty for captures that are not shown there. */
export function capturePrefix({ subtype, arg1 }: CaptureMessage, ifname: InterfaceName): string {
  switch (subtype) {
    case CAPTURE.delivery: return `-> ${ifname(arg1)}`
    case CAPTURE.fromLb: return `<- load-balancer ${ifname(arg1)}`
    case CAPTURE.afterV46: return `== v4->v6 ${arg1}`
    case CAPTURE.afterV64: return `== v6->v4 ${arg1}`
    case CAPTURE.proxyPost: return `-> proxy port ${arg1}`
    default: return ''
  }
}

/** The last two groups of an IPv6 address, first octet in the low byte. */
function ip6(word: number): string {
  const [a, b, c, d] = [word & 0xff, (word >>> 8) & 0xff, (word >>> 16) & 0xff, word >>> 24]
  return `${(a << 8 | b).toString(16)}:${(c << 8 | d).toString(16)}`
}

/** An address as the datapath has it in a register: first octet in the low byte. */
function ip4(word: number): string {
  return [word & 0xff, (word >>> 8) & 0xff, (word >>> 16) & 0xff, word >>> 24].join('.')
}
