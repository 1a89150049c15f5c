import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Duplex } from 'node:stream'
import ssh2, { type Connection } from 'ssh2'

/** An SSH server for unit tests: takes any key, remembers remote forwards, and answers every forwarded connection with the address it asked for. */
export class TestSshServer {
  readonly keyFile: string
  readonly forwards: string[] = []
  port = 0
  readonly #connections = new Set<Connection>()
  readonly #server: ssh2.Server

  private constructor(keyFile: string) {
    this.keyFile = keyFile
    mkdirSync(dirname(keyFile), { recursive: true })
    const key = ssh2.utils.generateKeyPairSync('ed25519').private
    writeFileSync(keyFile, key, { mode: 0o600 })
    const hostKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs1', format: 'pem' })
    this.#server = new ssh2.Server({ hostKeys: [hostKey] }, (connection) => this.#serve(connection))
  }

  static async start(keyFile: string): Promise<TestSshServer> {
    const server = new TestSshServer(keyFile)
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', () => resolve()))
    server.port = (server.#server.address() as { port: number }).port
    return server
  }

  dropConnections(): void {
    for (const connection of this.#connections) connection.end()
  }

  /** A connection to a forwarded port of the first client, as a program on the node makes it. */
  connectFromNode(address: string, port: number): Promise<Duplex> {
    const [connection] = this.#connections
    return new Promise((resolve, reject) => {
      if (!connection) return reject(new Error('nobody is connected'))
      connection.forwardOut(address, port, '127.0.0.1', 40000, (error, channel) => (error ? reject(error) : resolve(channel)))
    })
  }

  close(): void {
    this.dropConnections()
    this.#server.close()
  }

  #serve(connection: Connection): void {
    this.#connections.add(connection)
    connection.on('close', () => this.#connections.delete(connection)).on('error', () => undefined)
    connection.on('authentication', (attempt) => attempt.accept())
    connection.on('request', (accept, _reject, name, info) => {
      if (name === 'tcpip-forward') this.forwards.push(`${info.bindAddr}:${info.bindPort}`)
      accept?.()
    })
    connection.on('tcpip', (accept, _reject, info) => void accept().write(`you reached ${info.destIP}:${info.destPort}`))
  }
}
