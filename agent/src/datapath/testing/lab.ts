/** Two nodes and their pods as network namespaces of this machine, for integration tests. Needs root and iproute2; touches nothing else. */
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import readline from 'node:readline'
import type { MonitorMessage } from '../events.ts'
import type { DatapathConfig, EndpointLink } from '../types.ts'

/** `.ts` from the source, `.mjs` when bundled for a guest. */
const entry = (name: string): string => path.join(import.meta.dirname, `${name}${path.extname(import.meta.filename)}`)
const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' })
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

export interface Answer { reply?: string; from?: string; error?: string; ttl?: number }
type Event = MonitorMessage
export type Match = Record<string, unknown>

const matches = (event: Event, wanted: Match): boolean => Object.entries(wanted).every(([key, value]) => (event as unknown as Match)[key] === value)

/** A process that prints lines, in a namespace. */
export class Helper {
  readonly lines: string[] = []
  readonly child: ChildProcess

  constructor(netns: string, args: string[]) {
    this.child = spawn('ip', ['netns', 'exec', netns, process.execPath, entry('pod-main'), ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
    readline.createInterface({ input: this.child.stdout! }).on('line', (line) => this.lines.push(line))
  }

  async first(): Promise<this> {
    for (let waited = 0; this.lines.length === 0; waited += 20) {
      if (waited > 20_000) throw new Error('helper printed nothing in 20 s')
      await sleep(20)
    }
    return this
  }

  stop(): void {
    this.child.kill('SIGKILL')
  }
}

/** A datapath in a process of its own: setns() works on a whole process here, and a restart is a real one. */
export class Agent {
  readonly events: Event[] = []
  ready: { pid: number; ms: number; programs: { name: string; instructions: number; processed?: number }[] } | undefined
  private readonly child: ChildProcess
  private readonly waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>()
  private id = 0

  constructor(netns: string, config: DatapathConfig) {
    this.child = spawn('ip', ['netns', 'exec', netns, process.execPath, entry('node-main'), JSON.stringify(config)],
      { stdio: ['pipe', 'pipe', 'inherit'], env: { LASH_STATS: '1', ...process.env } })
    readline.createInterface({ input: this.child.stdout! }).on('line', (line) => this.receive(line))
    this.child.on('exit', () => { for (const { reject } of this.waiting.values()) reject(new Error('the agent exited')) })
  }

  private receive(line: string): void {
    const message = JSON.parse(line) as { ready?: NonNullable<Agent['ready']>; event?: Event; id?: number; result?: never; error?: string }
    if (message.ready !== undefined) this.ready = message.ready
    if (message.event !== undefined) this.events.push(message.event)
    if (message.id === undefined) return
    const call = this.waiting.get(message.id)
    this.waiting.delete(message.id)
    if (message.error !== undefined) call?.reject(new Error(message.error))
    else call?.resolve(message.result as never)
  }

  async started(): Promise<this> {
    for (let waited = 0; this.ready === undefined; waited += 20) {
      if (this.child.exitCode !== null) throw new Error(`the agent exited with ${this.child.exitCode}`)
      if (waited > 60_000) throw new Error('the agent was not ready in 60 s')
      await sleep(20)
    }
    return this
  }

  call<T = unknown>(method: string, ...args: unknown[]): Promise<T> {
    const id = ++this.id
    return new Promise<T>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject })
      this.child.stdin!.write(`${JSON.stringify({ id, method, args })}\n`)
    })
  }

  /** The first event with those fields since `from`; undefined after two seconds. */
  async event(wanted: Match, from = 0): Promise<Event | undefined> {
    for (let waited = 0; waited < 2000; waited += 20) {
      const found = this.events.slice(from).find((event) => matches(event, wanted))
      if (found !== undefined) return found
      await sleep(20)
    }
    return undefined
  }

  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const exited = new Promise((resolve) => this.child.once('exit', resolve))
    // `ip netns exec` becomes the agent: the child's id is its id.
    this.child.kill(signal)
    await exited
  }
}

/** A machine outside of the cluster, with some more addresses. */
export const OUTSIDE = { ip: '192.168.77.50', prefix: '10.9.0.0/16', more: ['10.9.1.1', '10.9.2.1', '10.9.2.129'] } as const

/** The same of IPv6. */
export const OUTSIDE6 = { ip: 'fd77::50', prefix: 'fd09::/16', more: ['fd09:1::1', 'fd09:2::1', 'fd09:2::8000:0:0:1'] } as const

/** What nodes have for IPv6, by their number: for the settings of Lab.node. */
export const ipv6Of = (number: number): NonNullable<DatapathConfig['ipv6']> => ({ podCIDR: `f00d::af4:${number}00:0:0/96`, clusterCIDR: 'f00d::/64', serviceCIDR: 'fd96::/112', router: `f00d::af4:${number}00:0:1` })

export interface Pod { netns: string; ip: string; /** Where its node has IPv6. */ ip6: string; id: number; link: EndpointLink; identity: number }

export class LabNode {
  readonly netns: string
  readonly config: DatapathConfig
  agent: Agent | undefined
  private readonly lab: Lab

  constructor(lab: Lab, number: number, objectFile: string, settings: Partial<DatapathConfig>) {
    this.lab = lab
    this.netns = `${lab.prefix}n${number}`
    this.config = {
      objectFile, bpffs: path.join(lab.folder, `bpf${number}`), nodeIPv4: `192.168.77.1${number}`, nodeDevice: 'eth1', podCIDR: `10.244.${number}.0/24`,
      clusterCIDR: '10.244.0.0/16', serviceCIDR: '10.96.0.0/16', routerIPv4: `10.244.${number}.1`, tunnel: 'vxlan', tunnelPort: 8472, mtu: 1400, monitorPages: 64, debug: false, ...settings,
    }
    lab.addNetns(this.netns)
    ip('-n', this.netns, 'link', 'set', 'lo', 'up')
    ip('-n', this.netns, 'addr', 'add', '172.31.255.1/32', 'dev', 'lo')
    // Outside of `ip netns exec`, whose own mount namespace would take the pins with it.
    fs.mkdirSync(this.config.bpffs)
    execFileSync('mount', ['-t', 'bpf', 'bpf', this.config.bpffs])
    lab.cleanups.push(() => execFileSync('umount', [this.config.bpffs]))
  }

  async start(): Promise<Agent> {
    this.agent = new Agent(this.netns, this.config)
    const agent = this.agent
    this.lab.cleanups.push(() => agent.stop())
    return agent.started()
  }

  async addPod(id: number, identity: number): Promise<Pod> {
    const number = Number(/\d+$/.exec(this.netns)![0])
    const netns = `${this.netns}p${id}`, address = `10.244.${number}.${id}`
    const ip6 = this.config.ipv6 === undefined ? undefined : `f00d::af4:${number}00:0:${id.toString(16)}`
    this.lab.addNetns(netns)
    const link = await this.agent!.call<EndpointLink>('addEndpoint', {
      id, identity, netns: `/var/run/netns/${netns}`, containerInterface: 'eth0', hostInterface: `lxc${id}`, ipv4: address, ...(ip6 === undefined ? {} : { ipv6: ip6 }),
    })
    await this.agent!.call('upsertIPCache', address, { identity })
    if (ip6 !== undefined) await this.agent!.call('upsertIPCache', ip6, { identity })
    return { netns, ip: address, ip6: ip6 ?? '', id, link, identity }
  }
}

export class Lab {
  private static count = 0
  readonly prefix = `kb${process.pid % 10000}${String.fromCharCode(97 + Lab.count++)}`
  readonly folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lash-lab-'))
  readonly cleanups: (() => unknown)[] = []

  addNetns(name: string): void {
    ip('netns', 'add', name)
    this.cleanups.push(() => ip('netns', 'del', name))
  }

  node(number: number, objectFile: string, settings: Partial<DatapathConfig> = {}): LabNode {
    return new LabNode(this, number, objectFile, settings)
  }

  /** Joins nodes, and a machine outside of the cluster, by a switch; eth1 on all. The machine's namespace is returned. */
  wire(...nodes: LabNode[]): string {
    const wire = `${this.prefix}w`, outside = `${this.prefix}o`
    for (const name of [wire, outside]) this.addNetns(name)
    ip('-n', wire, 'link', 'add', 'br0', 'type', 'bridge')
    ip('-n', wire, 'link', 'set', 'br0', 'up')
    for (const [netns, address] of [...nodes.map(({ netns, config }) => [netns, config.nodeIPv4] as const), [outside, OUTSIDE.ip] as const]) {
      ip('-n', wire, 'link', 'add', netns, 'type', 'veth', 'peer', 'name', 'eth1', 'netns', netns)
      ip('-n', wire, 'link', 'set', netns, 'master', 'br0', 'up')
      ip('-n', netns, 'addr', 'add', `${address}/24`, 'dev', 'eth1')
      ip('-n', netns, 'link', 'set', 'eth1', 'up')
    }
    ip('-n', outside, 'link', 'set', 'lo', 'up')
    for (const address of OUTSIDE.more) ip('-n', outside, 'addr', 'add', `${address}/32`, 'dev', 'lo')
    if (nodes.every(({ config }) => config.ipv6 !== undefined)) this.wire6(nodes, outside)
    for (const { netns, config } of nodes) {
      ip('-n', outside, 'route', 'add', config.podCIDR, 'via', config.nodeIPv4)
      ip('-n', netns, 'route', 'add', OUTSIDE.prefix, 'via', OUTSIDE.ip)
    }
    return outside
  }

  private wire6(nodes: LabNode[], outside: string): void {
    ip('-n', outside, 'addr', 'add', `${OUTSIDE6.ip}/64`, 'dev', 'eth1', 'nodad')
    for (const address of OUTSIDE6.more) ip('-n', outside, 'addr', 'add', `${address}/128`, 'dev', 'lo')
    nodes.forEach(({ netns, config }, i) => {
      const address = `fd77::1${i + 1}`
      ip('-n', netns, 'addr', 'add', `${address}/64`, 'dev', 'eth1', 'nodad')
      ip('-n', outside, 'route', 'add', config.ipv6!.podCIDR, 'via', address)
      ip('-n', netns, 'route', 'add', OUTSIDE6.prefix, 'via', OUTSIDE6.ip)
    })
  }

  run(netns: string, ...args: string[]): Promise<Answer> {
    return new Promise((resolve, reject) => execFile('ip', ['netns', 'exec', netns, process.execPath, entry('pod-main'), ...args], (error, stdout) =>
      error === null ? resolve(JSON.parse(stdout) as Answer) : reject(new Error(`${args.join(' ')} in ${netns}`, { cause: error }))))
  }

  async helper(netns: string, ...args: string[]): Promise<Helper> {
    const helper = new Helper(netns, args)
    this.cleanups.push(() => helper.stop())
    return helper.first()
  }

  async close(): Promise<void> {
    const errors: unknown[] = []
    for (const cleanup of this.cleanups.reverse()) {
      try {
        await cleanup()
      } catch (error) {
        errors.push(error)
      }
    }
    fs.rmSync(this.folder, { recursive: true, force: true })
    if (errors.length > 0) throw new AggregateError(errors, 'clearing up the lab')
  }
}
