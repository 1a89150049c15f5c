import { setTimeout as delay } from 'node:timers/promises'
import type { Client, ClientChannel, TcpConnectionDetails } from 'ssh2'
import { connectSsh } from '../machine/index.ts'
import type { LinkNode, LinkState } from './link.ts'
import type { Way } from './way.ts'

const firstBackoffMs = 200
const longestBackoffMs = 5000

/** One node of the link: its SSH connection, made anew when it is lost, with the addresses of the control plane forwarded from the node. */
export class LinkedNode {
  readonly #node: LinkNode
  readonly #ways: readonly Way[]
  readonly #log: (line: string) => void
  #client: Client | undefined
  #connections = 0
  #error = 'connecting'
  readonly #closed = new AbortController()

  constructor(node: LinkNode, ways: readonly Way[], log: (line: string) => void) {
    this.#node = node
    this.#ways = ways
    this.#log = (line) => log(`${node.name}: ${line}`)
    void this.#keepConnected()
  }

  get address(): string {
    return this.#node.address
  }

  get state(): LinkState {
    const connected = this.#client !== undefined
    return { name: this.#node.name, connected, connections: this.#connections, ...(connected ? {} : { error: this.#error }) }
  }

  /** A connection from the node to an address as the node sees it. */
  open(host: string, port: number): Promise<ClientChannel> {
    return new Promise((resolve, reject) => {
      if (!this.#client) return reject(new Error(`${this.#node.name} is not connected: ${this.#error}`))
      this.#client.forwardOut('127.0.0.1', 0, host, port, (error, channel) => (error ? reject(error) : resolve(channel)))
    })
  }

  close(): void {
    this.#closed.abort()
    this.#client?.end()
  }

  async #keepConnected(): Promise<void> {
    const { signal } = this.#closed
    for (let backoffMs = firstBackoffMs; !signal.aborted; backoffMs = Math.min(backoffMs * 2, longestBackoffMs)) {
      const before = this.#connections
      await this.#connection().catch((error: unknown) => (this.#error = error instanceof Error ? error.message : String(error)))
      if (this.#connections > before) backoffMs = firstBackoffMs
      this.#log(`${this.#error}; again in ${backoffMs} ms`)
      await delay(backoffMs, undefined, { signal }).catch(() => undefined)
    }
  }

  /** One connection, from login to its end. Throws when it cannot be had. */
  async #connection(): Promise<void> {
    const client = await connectSsh(this.#node.ssh, { signal: this.#closed.signal })
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()))
    client.on('tcp connection', (details, accept, reject) => void this.#acceptFromNode(details, accept, reject))
    try {
      for (const { forward } of this.#ways) await forwardIn(client, forward)
      this.#client = client
      this.#connections++
      this.#log('connected')
      await closed
      this.#error = 'connection lost'
    } finally {
      this.#client = undefined
      client.end()
    }
  }

  async #acceptFromNode({ destPort }: TcpConnectionDetails, accept: () => ClientChannel, reject: () => void): Promise<void> {
    const way = this.#ways.find(({ forward }) => forward.port === destPort)
    try {
      const socket = await (way?.connect() ?? Promise.reject(new Error(`port ${destPort} leads nowhere`)))
      const channel = accept()
      channel.pipe(socket).pipe(channel)
      for (const [one, other] of [[channel, socket], [socket, channel]] as const) one.on('close', () => other.destroy()).on('error', () => other.destroy())
    } catch (error) {
      this.#log(`${way?.forward.name ?? 'unknown'}: ${error instanceof Error ? error.message : String(error)}`)
      reject()
    }
  }
}

function forwardIn(client: Client, { host, port }: Way['forward']): Promise<void> {
  return new Promise((resolve, reject) => {
    client.forwardIn(host, port, (error) => (error ? reject(new Error(`cannot listen on ${host}:${port} in the guest: ${error.message}`)) : resolve()))
  })
}
