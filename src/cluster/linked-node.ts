import { connect as connectTcp } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Client, ClientChannel, TcpConnectionDetails } from 'ssh2'
import { connectSsh } from '../machine/index.ts'
import { addresses } from './addresses.ts'
import type { LinkNode, LinkState } from './link.ts'

const firstBackoffMs = 200
const longestBackoffMs = 5000

/**
 * Where connections from nodes go. Those that come before it is ready wait: nodes of a snapshot run on while the API server starts, and clients that are refused come back later and later.
 */
export interface ApiServer { readonly port: number; readonly ready: Promise<void> }

/** One node of the link: its SSH connection, made anew when it is lost, with the API server's address forwarded from the node. */
export class LinkedNode {
  readonly #node: LinkNode
  readonly #api: ApiServer
  readonly #log: (line: string) => void
  #client: Client | undefined
  #connections = 0
  #error = 'connecting'
  readonly #closed = new AbortController()

  constructor(node: LinkNode, api: ApiServer, log: (line: string) => void) {
    this.#node = node
    this.#api = api
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
      await forwardApi(client)
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

  async #acceptFromNode(_details: TcpConnectionDetails, accept: () => ClientChannel, reject: () => void): Promise<void> {
    await this.#api.ready
    const api = connectTcp({ port: this.#api.port, host: '127.0.0.1', noDelay: true })
    const refused = (error: Error): void => {
      this.#log(`API server: ${error.message}`)
      reject()
    }
    api.once('error', refused).once('connect', () => {
      const channel = accept()
      api.off('error', refused)
      channel.pipe(api).pipe(channel)
      for (const [one, other] of [[channel, api], [api, channel]] as const) one.on('close', () => other.destroy()).on('error', () => other.destroy())
    })
  }
}

function forwardApi(client: Client): Promise<void> {
  const { host, port } = addresses.nodeApi
  return new Promise((resolve, reject) => {
    client.forwardIn(host, port, (error) => (error ? reject(new Error(`cannot listen on ${host}:${port} in the guest: ${error.message}`)) : resolve()))
  })
}
