import { expect } from 'vitest'
import type { EventWindow } from '../monitor/index.ts'
import { listsLoadBalancer, listsService, listsTunnel, type PollOptions, type Services } from './cli.ts'
import { containsDrop, containsFlow, type FlowCriteria } from './events.ts'
import type { DropCriteria } from './match-event.ts'
import { reaches, reachesAll, reachesAtAll, type ReachAllOptions, type ReachOptions } from './reach.ts'
import { containsRequest, type RequestCriteria } from './requests.ts'
import type { TunnelRow } from './tables.ts'
import type { AgentCli, Client, Target } from './types.ts'
import { hasNoPlainFramesOf, hasTunnelFrames, type Frames, type TunnelCriteria } from './wire.ts'

declare module 'vitest' {
  // eslint-disable-next-line @typescript-eslint/no-unused-vars -- the parameters must be those of Vitest's own declaration
  interface Matchers<R extends void | Promise<void> = void | Promise<void>, T = unknown> {
    /** On an EventWindow: it has a drop event that agrees in everything named. `.not` only holds on a complete window. */
    toContainDrop(want: DropCriteria): R
    /** On an EventWindow: the flow was seen at every named point, with the right identities and states. `.not` only holds on a complete window. */
    toContainFlow(want: FlowCriteria): R
    /** On an EventWindow: the access log has an HTTP request or response that agrees in everything named. `.not` only holds on a complete window. */
    toContainRequest(want: RequestCriteria): R
    /** On a Client: its new connections are all answered by the target. `.not`: none is, and no packet arrived at the receiver. */
    toReach(target: Target, options?: ReachOptions): Promise<void>
    /** On a Client: new connections, `times` at most, are all answered, and by every one of the target's backends. */
    toReachAll(target: Target, options: ReachAllOptions): Promise<void>
    /** On a Capture or its frames: the flow is in tunnels of the kind, all its frames with the VNI. Waits. */
    toHaveTunnelFrames(want: TunnelCriteria): Promise<void>
    /** On a Capture or its frames: nothing outside a tunnel has an address of the CIDRs. */
    toHaveNoPlainFramesOf(cidrs: readonly string[]): Promise<void>
    /** On an AgentCli: `bpf tunnel list` has the row. Waits. */
    toListTunnel(want: TunnelRow, options?: PollOptions): Promise<void>
    /** On an AgentCli: `service list` has each frontend with exactly its backends. Waits. */
    toListService(want: Services, options?: PollOptions): Promise<void>
    /** On an AgentCli: `bpf lb list` has each frontend with exactly its backends. Waits. */
    toListLoadBalancer(want: Services, options?: PollOptions): Promise<void>
  }
}

/** Adds the matchers to Vitest's `expect`. */
export function installMatchers(): void {
  expect.extend({
    toContainDrop(window: EventWindow, want: DropCriteria) {
      return containsDrop(window, want, this.isNot)
    },
    toContainFlow(window: EventWindow, want: FlowCriteria) {
      return containsFlow(window, want, this.isNot)
    },
    toContainRequest(window: EventWindow, want: RequestCriteria) {
      return containsRequest(window, want, this.isNot)
    },
    toReach(client: Client, target: Target, options: ReachOptions = {}) {
      return this.isNot ? reachesAtAll(client, target, options) : reaches(client, target, options)
    },
    toReachAll(client: Client, target: Target, options: ReachAllOptions) {
      return reachesAll(client, target, options)
    },
    toHaveTunnelFrames(frames: Frames, want: TunnelCriteria) {
      return hasTunnelFrames(frames, want)
    },
    toHaveNoPlainFramesOf(frames: Frames, cidrs: readonly string[]) {
      return hasNoPlainFramesOf(frames, cidrs)
    },
    toListTunnel(cli: AgentCli, want: TunnelRow, options?: PollOptions) {
      return listsTunnel(cli, want, this.isNot, options)
    },
    toListService(cli: AgentCli, want: Services, options?: PollOptions) {
      return listsService(cli, want, this.isNot, options)
    },
    toListLoadBalancer(cli: AgentCli, want: Services, options?: PollOptions) {
      return listsLoadBalancer(cli, want, this.isNot, options)
    },
  })
}
