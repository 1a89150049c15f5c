/** Transport of a packet as far as its event tells. */
export type Protocol = 'tcp' | 'udp' | 'icmp' | 'icmpv6' | 'arp' | 'unknown'

/** One packet's headers, from a one-line summary, from verbose layers or from JSON layers. Addresses are MACs when there is no IP layer. */
export interface PacketSummary {
  readonly proto: Protocol
  readonly src?: string
  readonly dst?: string
  readonly srcPort?: number
  readonly dstPort?: number
  /** TCP flags in Cilium's words: `SYN`, `ACK`, … */
  readonly flags?: readonly string[]
  /** `EchoRequest`, `DestinationUnreachable(Port)`, … */
  readonly icmpType?: string
  /** The one-line form, `10.0.0.1:80 -> 10.0.0.2:81 tcp SYN`. */
  readonly text: string
}

/** Where in the datapath a trace event was made (observation points of Cilium's trace message: 0–9 from 1.0 on, the network's from 1.7 on, those of encryption from 1.17 on). */
export const POINTS = ['to-endpoint', 'to-proxy', 'to-host', 'to-stack', 'to-overlay', 'from-endpoint', 'from-proxy', 'from-host', 'from-stack', 'from-overlay', 'from-network', 'to-network', 'from-crypto', 'to-crypto'] as const
export type Point = (typeof POINTS)[number]

export type ConnectionState = 'new' | 'established' | 'reply' | 'related'

interface Common {
  /** The line, or for `-v` the lines, it was parsed from. */
  readonly raw: string
  /** Node whose monitor printed it; empty until a stream sets it. */
  readonly node: string
  readonly cpu?: number
}

interface PacketCommon extends Common {
  /** Skb hash; the same for both observation points of a packet on one node. */
  readonly mark?: number
  /** Endpoint whose program made the event; 0 for the host's and the overlay's. Absent in the plain text form. */
  readonly source?: number
  readonly srcIdentity?: number
  readonly dstIdentity?: number
  readonly dstEndpoint?: number
  /** Interface name, or the number as text when it has none; `0` is none. */
  readonly interface?: string
  readonly bytes?: number
  readonly summary: PacketSummary
}

export interface DropEvent extends PacketCommon {
  readonly type: 'drop'
  /** As printed, or the name of the printed number. */
  readonly reason: string
  readonly reasonCode?: number
}
export interface TraceEvent extends PacketCommon {
  readonly type: 'trace'
  readonly point: Point
  readonly state?: ConnectionState
}
export interface CaptureEvent extends PacketCommon {
  readonly type: 'capture'
  /** `-> lxccont1`, `<- load-balancer cilium_net`, … */
  readonly prefix: string
  readonly message?: string
}
export interface DebugEvent extends Common { readonly type: 'debug'; readonly message: string; readonly source?: number; readonly mark?: number }
export interface L7Event extends Common {
  readonly type: 'l7'
  /** By whose policy: `ingress` that of the receiver, `egress` that of the sender; else as printed. */
  readonly direction: string
  /** `Request` or `Response`, as printed. */
  readonly flow?: string
  readonly protocol: string
  /** `Forwarded`, `Denied`, `Error`. */
  readonly verdict: string
  readonly srcEndpoint?: number
  readonly dstEndpoint?: number
  readonly srcIdentity?: number
  readonly dstIdentity?: number
  readonly method?: string
  readonly url?: string
  readonly status?: number
}
export interface AgentEvent extends Common { readonly type: 'agent'; readonly subtype: string; readonly message: unknown }
/** What policy says of a flow's first packet (1.8 and later); its drop, if it is one, is an event of its own. */
export interface VerdictEvent extends Common {
  readonly type: 'verdict'
  readonly mark?: number
  readonly endpoint: number
  readonly remoteIdentity?: number
  readonly direction: 'ingress' | 'egress'
  /** `allow`, `deny`, `redirect`, `audit`. */
  readonly action: string
  readonly match: string
  readonly summary: PacketSummary
}
/** The perf ring of a CPU overflowed: events are missing from here on backwards. */
export interface LostEvent extends Common { readonly type: 'lost'; readonly count: number }
/** What frames the output: the banner, separators, empty lines. */
export interface HeaderEvent extends Common { readonly type: 'header'; readonly cpus?: number }
/** A decoded packet layer printed under a verbose event; merged into it by a MonitorParser. */
export interface LayerEvent extends Common { readonly type: 'layer'; readonly layer: string; readonly fields: Readonly<Record<string, string>> }
export interface UnparsedEvent extends Common { readonly type: 'unparsed' }

export type PacketEvent = DropEvent | TraceEvent | CaptureEvent
export type MonitorEvent = DropEvent | TraceEvent | CaptureEvent | DebugEvent | VerdictEvent | L7Event | AgentEvent | LostEvent | HeaderEvent | LayerEvent | UnparsedEvent

export const isPacket = (event: MonitorEvent): event is PacketEvent => event.type === 'drop' || event.type === 'trace' || event.type === 'capture'
