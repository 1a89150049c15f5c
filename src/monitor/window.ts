import { Fence, type FenceNode, type FenceOptions } from './fence.ts'
import type { MonitorEvent } from './types.ts'

/** All events of all nodes between two fences. */
export interface EventWindow<T = unknown> {
  /** In order of arrival on each node, node after node; markers left out. */
  readonly events: readonly MonitorEvent[]
  /** Why events may be missing; empty when the window is complete, and only then can it be said that something did not happen. */
  readonly gaps: readonly string[]
  readonly nodes: readonly string[]
  /** What the step returned. */
  readonly result: T
}

/** The monitors of all nodes. */
export class Monitor {
  readonly #fences: readonly { readonly node: FenceNode; readonly fence: Fence }[]

  constructor(nodes: readonly FenceNode[], options: FenceOptions = {}) {
    this.#fences = nodes.map((node) => ({ node, fence: new Fence(node, options) }))
  }

  get nodes(): readonly string[] {
    return this.#fences.map(({ node }) => node.name)
  }

  /** Resolves when every node's stream has been seen to deliver the events of every CPU. */
  async live(): Promise<void> {
    await Promise.all(this.#fences.map(({ fence }) => fence.open()))
  }

  /**
   * Runs a step and gives the events that happened in it, on all nodes: fences before and after, no sleeps. A closing fence that fails makes
   * the window incomplete (a gap), so that positive assertions still show what was seen. Throws what the step throws, and when a stream isn't live.
   */
  async during<T>(step: () => Promise<T>): Promise<EventWindow<T>> {
    const starts = await Promise.all(this.#fences.map(({ fence }) => fence.open()))
    const result = await step()
    const parts = await Promise.all(this.#fences.map(async ({ node, fence }, i) => {
      const from = starts[i] ?? 0
      const end = await fence.close(from).catch((error: unknown) => (error instanceof Error ? error : new Error(String(error))))
      const { events, gaps } = node.stream.slice(from, typeof end === 'number' ? end : undefined)
      return { events: events.filter((event) => !fence.isMarker(event)), gaps: typeof end === 'number' ? gaps : [...gaps, end.message] }
    }))
    return { events: parts.flatMap(({ events }) => events), gaps: parts.flatMap(({ gaps }) => gaps), nodes: this.nodes, result }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#fences.map(({ node }) => node.stream.stop()))
  }
}
