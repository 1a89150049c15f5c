import { describe, expect, test } from 'vitest'
import { Fence, markerCommand, parseCpuList, type FenceNode } from './fence.ts'
import { MonitorStream, type LineSource } from './stream.ts'
import { Monitor } from './window.ts'

/** An agent's monitor and the node it runs on, in memory. */
class FakeNode implements FenceNode {
  readonly name = 'node1'
  readonly cpus = [0, 1]
  readonly target = '10.244.1.7'
  readonly stream: MonitorStream
  /** Sets of markers that are lost because the subscription isn't live yet. */
  deaf = 0
  /** CPU whose events never arrive. */
  mute = -1
  /** Lines printed just before the markers of the n-th set. */
  readonly before = new Map<number, string[]>()
  sets = 0
  #listener: (line: string) => void = () => undefined
  #end: (code: number | undefined) => void = () => undefined

  constructor() {
    const source: LineSource = { onLine: (listener) => (this.#listener = listener), done: new Promise((resolve) => (this.#end = resolve)), stop: () => Promise.resolve() }
    this.stream = new MonitorStream(this.name, source)
  }

  print(line: string): void {
    this.#listener(line)
  }

  end(): void {
    this.#end(1)
  }

  mark(_target: string, ports: ReadonlyMap<number, number>): Promise<void> {
    this.sets++
    for (const line of this.before.get(this.sets) ?? []) this.print(line)
    if (this.sets <= this.deaf) return Promise.resolve()
    for (const [cpu, port] of ports) {
      if (cpu === this.mute) continue
      this.print(`<- host flow 0x1 identity 1->0 state new ifindex 0: 10.244.1.1:5000 -> ${this.target}:${port} udp`)
      this.print(`-> endpoint 7 flow 0x1 identity 1->300 state new ifindex lxc7: 10.244.1.1:5000 -> ${this.target}:${port} udp`)
    }
    return Promise.resolve()
  }
}

const DROP = 'xx drop (Policy denied (L3)) flow 0x2 to endpoint 7, identity 300->400: 10.244.1.9:1000 -> 10.244.1.7:8080 tcp SYN'
const quick = { openMs: 300, closeMs: 100, againMs: 30 }

describe('a fence', () => {
  test('sends one packet from each CPU, each to a port of its own', () => {
    expect(markerCommand('10.0.0.9', new Map([[0, 47000], [1, 47001]]))).toBe("bash -c 'taskset -pc 0 $$ >/dev/null && echo kernelbed >/dev/udp/10.0.0.9/47000; taskset -pc 1 $$ >/dev/null && echo kernelbed >/dev/udp/10.0.0.9/47001'")
  })

  test('repeats its opening markers until the stream is live', async () => {
    const node = new FakeNode()
    node.deaf = 2
    await new Fence(node, { ...quick, openMs: 20_000 }).open()
    expect(node.sets).toBe(3)
  })

  test('waits for a stream that delivers, but is behind', async () => {
    const node = new FakeNode()
    node.mute = 0
    const opening = new Fence(node, { openMs: 200, behindMs: 20_000, againMs: 30 }).open()
    const start = performance.now()
    const busy = setInterval(() => {
      node.print(DROP)
      if (performance.now() - start > 600) node.mute = -1
    }, 20)
    await opening.finally(() => clearInterval(busy))
    expect(performance.now() - start).toBeGreaterThan(600)
  })

  test('says that a stream is not live, from which CPU, and what arrived', async () => {
    const node = new FakeNode()
    node.mute = 1
    node.before.set(1, ['>> Policy updated: {"revision":1}'])
    await expect(new Fence(node, quick).open()).rejects.toThrow(/the monitor of node1 is not live: no event of \d+ sets of marker packets to 10\.244\.1\.7 from CPU 1 within 0\.3 s/)
  })

  test('says that what a monitor prints is not what `cilium monitor` does', async () => {
    const node = new FakeNode()
    node.deaf = Infinity
    node.before.set(1, ['flow 1 dropped', 'flow 2 dropped'])
    await expect(new Fence(node, quick).open()).rejects.toMatchObject({ message: expect.stringMatching(/; none of the 2 lines that it printed is an event$/) as string, details: expect.stringContaining('flow 2 dropped') as string, hint: expect.stringContaining('driver') as string })
  })

  test('says that a monitor has ended, with its last words, and sends it nothing', async () => {
    const node = new FakeNode()
    node.print('Error: unknown flag: --jsno')
    node.end()
    await expect.poll(() => node.stream.ended).toBeDefined()
    await expect(new Fence(node, quick).open()).rejects.toThrow('the monitor of node1 ended with exit code 1: Error: unknown flag: --jsno')
    expect(node.sets).toBe(0)
  })

  test('sends its closing markers once, and says that events were lost when one is missing', async () => {
    const node = new FakeNode()
    const fence = new Fence(node, quick)
    const from = await fence.open()
    node.mute = 0
    await expect(fence.close(from)).rejects.toThrow(/^events of node1 were lost: the closing marker of CPU 0 did not arrive within 0\.\d s$/)
    expect(node.sets).toBe(2)
  })

  test('knows CPU lists as the kernel writes them', () => {
    expect(parseCpuList('0-3,6\n')).toEqual([0, 1, 2, 3, 6])
    expect(parseCpuList('0\n')).toEqual([0])
  })
})

describe('a window', () => {
  test('holds what happened in the step and nothing before, without markers', async () => {
    const node = new FakeNode()
    node.print(DROP.replace(':8080', ':1'))
    const window = await new Monitor([node], quick).during(() => {
      node.print(DROP)
      return Promise.resolve('done')
    })
    expect(window.result).toBe('done')
    expect(window.gaps).toEqual([])
    expect(window.events.map(({ raw, node }) => [node, raw])).toEqual([['node1', DROP]])
  })

  test('waits for events that are still on their way when the step ends', async () => {
    const node = new FakeNode()
    node.before.set(2, [DROP])
    expect((await new Monitor([node], quick).during(() => Promise.resolve())).events).toHaveLength(1)
  })

  test('has a gap when the agent lost samples', async () => {
    const node = new FakeNode()
    const window = await new Monitor([node], quick).during(() => Promise.resolve(node.print('CPU 01: Lost 12 events')))
    expect(window.gaps).toEqual(['CPU 1 of node1 lost 12 events'])
  })

  test('has a gap when the stream ended in it, with its last words', async () => {
    const node = new FakeNode()
    const window = await new Monitor([node], quick).during(async () => {
      node.print(DROP)
      node.print('Error: cannot connect to the agent')
      node.end()
      node.mute = 0
      await Promise.resolve()
    })
    expect(window.gaps).toEqual(['the monitor of node1 ended with exit code 1: Error: cannot connect to the agent', expect.stringMatching(/^events of node1 were lost: the closing marker of CPU 0 did not arrive within 0\.\d s$/)])
    expect(window.events[0]).toMatchObject({ type: 'drop' })
  })

  test('has a gap when it is longer than the log', () => {
    const stream = new MonitorStream('node1', { onLine: (listener) => { for (let i = 0; i < 25; i++) listener(DROP) }, done: new Promise(() => undefined), stop: () => Promise.resolve() }, { capacity: 20 })
    expect(stream.slice(0).gaps).toEqual(['6 events of node1 were too old to be kept'])
    expect(stream.slice(10).gaps).toEqual([])
  })
})
