import type { EndpointLink } from '../datapath/types.ts'
import type { Labels } from '../identity/labels.ts'
import type { EndpointOptions } from '../monitor/options.ts'
import type { ResolvedPolicy } from '../policy/resolve.ts'

export type EndpointState = 'creating' | 'waiting-for-identity' | 'waiting-to-regenerate' | 'regenerating' | 'ready' | 'not-ready' | 'restoring' | 'disconnecting'
export interface StatusEntry { timestamp: string; code: 'OK' | 'Warning' | 'Failure'; state: EndpointState; message: string }

/** What of an endpoint outlives the agent; one ep.json each. */
export interface EndpointRecord {
  id: number; containerId: string; netns: string; containerInterface: string; hostInterface: string; ipv4: string; ipv6?: string | undefined
  pod: { namespace: string; name: string; uid?: string | undefined }
  labels: Labels; identity: number
  /** Ports its containers name, `http/TCP` → 8080. */
  namedPorts: Record<string, number>
  /** Those that it has otherwise than its node. */
  options?: EndpointOptions | undefined
}

const historyLength = 64

/** A pod's attachment to the datapath on this node. */
export class Endpoint {
  record: EndpointRecord
  link: EndpointLink | undefined
  policy: ResolvedPolicy = {}
  /** The revision of the rules that `policy` was made from; 0 before any. */
  policyRevision = 0
  readonly #history: StatusEntry[] = []
  #state: EndpointState

  constructor(record: EndpointRecord, state: EndpointState, message: string) {
    this.record = record
    this.#state = state
    this.enter(state, message)
  }

  get id(): number { return this.record.id }
  get state(): EndpointState { return this.#state }
  /** Newest first. */
  get history(): StatusEntry[] { return [...this.#history] }

  enter(state: EndpointState, message: string, code: StatusEntry['code'] = 'OK'): void {
    this.#state = state
    this.#history.unshift({ timestamp: new Date().toISOString().replace(/\.\d+Z$/, 'Z'), code, state, message })
    this.#history.length = Math.min(this.#history.length, historyLength)
  }
}

export const podKey = ({ pod }: EndpointRecord): string => `${pod.namespace}/${pod.name}`
