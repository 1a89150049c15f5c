import type { MachineHandle } from '../machine/types.ts'

/** Reaches the network between the machines from another process; JSON. */
export type WireHandle = SwitchHandle | GuestsHandle

/** A network that is not ours: what crosses it is seen from the machines on it. */
export interface GuestsHandle {
  readonly guests: readonly { readonly name: string; readonly mac: string; readonly ssh: MachineHandle['ssh'] }[]
}

/** The running switch. */
export interface SwitchHandle {
  /** Unix socket that takes one JSON request a line and answers one JSON a line. */
  readonly control: string
  readonly pid: number
}

/** The private layer-2 network between the machines. Where it is not ours it can be captured, and all else throws a KernelbedError. */
export interface Wire {
  readonly handle: WireHandle
  /** Connects to a machine's `-netdev stream` listener (waits up to 10 s for it); frames have a 4-byte big-endian length. A connection that ends is made again. */
  attach(port: string, socket: string): Promise<void>
  detach(port: string): Promise<void>
  /** Starts writing every frame that crosses the wire to a pcap file (link type Ethernet, nanoseconds); only after the promise resolves are frames guaranteed to be in it. */
  capture(file: string): Promise<Capture>
  /** Drops all frames between two ports (both directions), or of one port when `b` is absent. Undone by restore. */
  cut(a: string, b?: string): Promise<void>
  restore(): Promise<void>
  /** Loses frames at random (`loss` 0..1) and delays them (`delayMs`) on every port; what is absent is set back to 0. */
  impair(options: { loss?: number; delayMs?: number }): Promise<void>
  stats(): Promise<PortStats[]>
}

/** A wire this run started; only its owner can stop it. */
export interface StartedWire extends Wire {
  stop(): Promise<void>
}

/** Counters of a port since it was attached: `rx` from the machine, `tx` to it. */
export interface PortStats {
  readonly port: string
  readonly connected: boolean
  readonly rxFrames: number
  readonly txFrames: number
  /** `lost` (impair) + `cut` + `overrun` (its queue was full, or it was down) + `malformed`. */
  readonly dropped: number
  readonly lost: number
  readonly cut: number
  readonly overrun: number
  readonly malformed: number
}

export interface Capture {
  readonly file: string
  /** Flushes and closes; every frame switched before the call is in the file. */
  stop(): Promise<void>
  /** Decoded frames so far (flushes first). */
  frames(): Promise<Frame[]>
}

/** One decoded Ethernet frame. */
export interface Frame {
  readonly timeNs: bigint
  /** Port that the frame came from; empty when read from a file without a switch. */
  readonly port: string
  readonly src: string
  readonly dst: string
  /** After VLAN tags. */
  readonly etherType: number
  readonly vlan?: number
  readonly length: number
  readonly arp?: { readonly operation: number; readonly senderMac: string; readonly senderIp: string; readonly targetMac: string; readonly targetIp: string }
  readonly ip?: { readonly version: 4 | 6; readonly src: string; readonly dst: string; readonly protocol: number; readonly ttl?: number }
  readonly l4?: { readonly srcPort: number; readonly dstPort: number; readonly tcpFlags?: number; readonly payload: Buffer }
  readonly icmp?: { readonly type: number; readonly code: number; /** Of echo requests and replies. */ readonly id?: number; readonly sequence?: number }
  /** Set when it is VXLAN (UDP 8472 or 4789) or Geneve (6081): the VNI and the decoded inner frame. */
  readonly tunnel?: { readonly kind: 'vxlan' | 'geneve'; readonly vni: number; readonly inner: Frame }
}
