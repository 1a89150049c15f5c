/** One end of a connection in the access log. `id`: 0 for what is no endpoint of this node. */
export interface RecordEnd { id: number; identity: number; labels: readonly string[] }

/** An entry of the access log: what Cilium's LogRecord has of HTTP. */
export interface L7Record {
  type: 'Request' | 'Response'
  /** By whose policy: the receiver's or the sender's. */
  observationPoint: 'Ingress' | 'Egress'
  source: RecordEnd
  destination: RecordEnd
  verdict: 'Forwarded' | 'Denied' | 'Error'
  http: { code: number; method: string; host: string; path: string; protocol: string; /** As they came: name, value, name, value. */ rawHeaders: readonly string[] }
}

/** Requests and responses by what became of them, as `cilium endpoint get` has them. */
export interface Counts { received: number; forwarded: number; denied: number; error: number }
export interface Statistics { requests: Counts; responses: Counts }

const none = (): Counts => ({ received: 0, forwarded: 0, denied: 0, error: 0 })
export const noStatistics = (): Statistics => ({ requests: none(), responses: none() })
