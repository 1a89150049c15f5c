/** Decodes records of the perf ring. The layout is agent/bpf/lib/events.h; numbers are in host byte order. */

/** Message types, byte 0 of a record (Cilium's pkg/monitor). */
export const MESSAGE_TYPE = { drop: 1, debug: 2, capture: 3, trace: 4 } as const

/** Where a trace message was emitted: the message's subtype. */
export const TRACE_POINT = {
  toEndpoint: 0, toProxy: 1, toHost: 2, toStack: 3, toOverlay: 4,
  fromEndpoint: 5, fromProxy: 6, fromHost: 7, fromStack: 8, fromOverlay: 9,
} as const

/** Conntrack state in a trace message. */
export const TRACE_STATE = { new: 0, established: 1, reply: 2, related: 3 } as const

/**
 * Debug subtypes this datapath emits, numbered as Cilium 1.2's bpf/lib/dbg.h. Addresses are network order as read on x86 (first octet
 * in the low byte), ports are plain numbers; a pair of ports in one word has the source in the upper half.
 */
export const DEBUG = {
  /** arg1 ifindex. No arg2. */
  lxcFound: 4,
  /** arg1 destination endpoint id, arg2 source identity. */
  localDelivery: 2,
  /** arg1 remote node address in host order, arg2 source identity. */
  encap: 3,
  /** arg1 source identity, arg2 destination identity. */
  policyDenied: 5,
  /** arg1 lifetime, arg2 revnat. */
  ctMatch: 8,
  /** arg1 conntrack state (0 new, 1 established, 2 reply, 3 related), arg2 revnat. */
  ctVerdict: 15,
  /** arg1 the last word of the service's address, arg2 port. */
  lb6LookupMaster: 22,
  lb6LookupMasterFail: 23,
  /** arg1 slave, arg2 port. */
  lb6LookupSlave: 24,
  /** arg1 the last word of the backend's address, arg2 port. */
  lb6LookupSlaveSuccess: 25,
  /** arg1 revnat. */
  lb6ReverseNatLookup: 26,
  /** arg1 the last word of the service's address, arg2 port. */
  lb6ReverseNat: 27,
  /** arg1 service address, arg2 port. */
  lb4LookupMaster: 28,
  lb4LookupMasterFail: 29,
  /** arg1 slave, arg2 port. */
  lb4LookupSlave: 30,
  /** arg1 backend address, arg2 port. */
  lb4LookupSlaveSuccess: 31,
  /** arg1 revnat. */
  lb4ReverseNatLookup: 32,
  /** arg1 service address, arg2 port. */
  lb4ReverseNat: 33,
  /** arg1 old source, arg2 new source. */
  lb4LoopbackSnat: 34,
  lb4LoopbackSnatRev: 35,
  /** arg1 source address, arg2 destination address, arg3 source port << 16 | destination port. */
  ctLookup4_1: 44,
  /** arg1 protocol << 8 | flags, arg2 direction. */
  ctLookup4_2: 45,
  /** arg1 proxy port << 16 | revnat, arg2 source identity, arg3 backend address. */
  ctCreated4: 46,
  /** As those of IPv4, with the last 32 bits of each address. */
  ctLookup6_1: 47,
  ctLookup6_2: 48,
  /** arg1 proxy port << 16 | revnat, arg2 source identity. */
  ctCreated6: 49,
  /** arg1 address, arg2 identity. */
  ipIdMapFailed4: 52,
  ipIdMapFailed6: 53,
  ipIdMapSucceed4: 54,
  ipIdMapSucceed6: 55,
} as const

/** Capture subtypes: `delivery` has the ifindex in arg1. */
export const CAPTURE = { delivery: 4, fromLb: 5, afterV46: 6, afterV64: 7, proxyPre: 8, proxyPost: 9 } as const

interface Common {
  cpu: number
  /** Endpoint id that the program ran for; 0 for host and overlay. */
  source: number
  /** The flow hash, "MARK" and "flow" in the monitor. */
  hash: number
}
export interface DropMessage extends Common {
  type: 'drop'; reason: number; bytes: number; srcIdentity: number; dstIdentity: number; dstId: number; ifindex: number; packet: Buffer
}
export interface TraceMessage extends Common {
  type: 'trace'; point: number; state: number; bytes: number; srcIdentity: number; dstIdentity: number; dstId: number; ifindex: number; packet: Buffer
}
export interface DebugMessage extends Common { type: 'debug'; subtype: number; arg1: number; arg2: number; arg3: number }
export interface CaptureMessage extends Common { type: 'capture'; subtype: number; bytes: number; arg1: number; arg2: number; packet: Buffer }
export type MonitorMessage = DropMessage | TraceMessage | DebugMessage | CaptureMessage

const COMMON = 8

/** Decodes one record. Throws RangeError for a record that is too short, or of an unknown type. */
export function decodeEvent(cpu: number, data: Buffer): MonitorMessage {
  const type = data.readUInt8(0)
  const subtype = data.readUInt8(1)
  const common = { cpu, source: data.readUInt16LE(2), hash: data.readUInt32LE(4) }
  const word = (index: number): number => data.readUInt32LE(COMMON + 4 * index)
  switch (type) {
    case MESSAGE_TYPE.drop:
      return {
        type: 'drop', ...common, reason: subtype, bytes: word(0), srcIdentity: word(2), dstIdentity: word(3), dstId: word(4), ifindex: word(5),
        packet: packetAt(data, COMMON + 24, word(1)),
      }
    case MESSAGE_TYPE.trace:
      return {
        type: 'trace', ...common, point: subtype, bytes: word(0), srcIdentity: word(2), dstIdentity: word(3),
        dstId: data.readUInt16LE(COMMON + 16), state: data.readUInt8(COMMON + 18), ifindex: word(5),
        packet: packetAt(data, COMMON + 24, word(1)),
      }
    case MESSAGE_TYPE.debug:
      return { type: 'debug', ...common, subtype, arg1: word(0), arg2: word(1), arg3: word(2) }
    case MESSAGE_TYPE.capture:
      return { type: 'capture', ...common, subtype, bytes: word(0), arg1: word(2), arg2: word(3), packet: packetAt(data, COMMON + 16, word(1)) }
    default:
      throw new RangeError(`perf record of unknown type ${type} (${data.length} bytes): agent and BPF object are of different versions`)
  }
}

/** The ring pads records to 8 bytes; the captured length in the header tells what is packet. */
function packetAt(data: Buffer, offset: number, captured: number): Buffer {
  return Buffer.from(data.subarray(offset, offset + captured))
}
