import type { Protocol } from '../monitor/index.ts'

/** One end of a flow as an assertion names it; what is absent is not compared. */
export interface FlowEnd {
  /** For messages: `suites/client-1`. */
  readonly name: string
  readonly ip: string
  readonly identity?: number
  /** Endpoint id on its node. */
  readonly endpoint?: number
  readonly node?: string
}

export type Transport = 'tcp' | 'udp' | 'icmp'

/** One try of a client, as the probe reports it. */
export interface Attempt {
  readonly ok: boolean
  /** `ip:port` of the client's socket. */
  readonly local: string
  /** Who the client sees as its peer: for UDP and ICMP, where the answer came from. */
  readonly remote: string
  /** What the server said: `name|peer-ip:port`. */
  readonly reply: string
  readonly ms: number
  /** `timeout`, `refused`, `unreachable`, `reset`, `wrong source`, … */
  readonly error?: string
}

export interface AttemptOptions {
  readonly protocol: Transport
  readonly port: number
  readonly times: number
  /** Of one try. */
  readonly timeoutMs: number
}

/** Something that can open connections: a pod, or a node itself. */
export interface Client {
  readonly name: string
  /** Address its packets come from, where known. */
  readonly ip?: string
  attempt(ip: string, options: AttemptOptions): Promise<readonly Attempt[]>
}

/** Packets that arrived at an interface, counted below any socket. */
export interface Arrival { readonly src: string; readonly proto: Protocol; /** Destination port, or ICMP type. */ readonly port: number; readonly count: number }

/** Something that counts what arrives. */
export interface Receiver {
  readonly name: string
  arrivals(): Promise<readonly Arrival[]>
}

/** What can be reached: a pod, a service, a node. */
export interface Target {
  readonly name: string
  readonly ip: string
  /** Where its packets end: the pod itself, or a service's backends. */
  readonly receivers?: readonly Receiver[]
  /** Names one of which must answer, when the answer tells a name. */
  readonly answersAs?: readonly string[]
}

/** The agent's command line on one node. */
export interface AgentCli {
  readonly name: string
  exec(argv: readonly string[]): Promise<{ readonly stdout: string }>
}
