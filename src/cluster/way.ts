import { connect, type Socket } from 'node:net'

/** Somewhere on every node that leads to a port of this host's loopback. */
export interface Forward { readonly name: 'api' | 'etcd'; /** Where it is on nodes. */ readonly host: string; readonly port: number; /** The port here. */ readonly to: number }

/**
 * What is behind a forward. Connections that come before it is open wait, since clients that are refused come back later and later. Shut, it ends those that it has and refuses new ones, as if nothing listened here.
 */
export class Way {
  readonly forward: Forward
  readonly #opened = Promise.withResolvers<void>()
  readonly #sockets = new Set<Socket>()
  #isShut = false

  constructor(forward: Forward) {
    this.forward = forward
  }

  open(): void {
    this.#isShut = false
    this.#opened.resolve()
  }

  shut(): void {
    this.#isShut = true
    this.#opened.resolve()
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Resolves with a connection once there is one. Throws when it is refused. */
  async connect(): Promise<Socket> {
    await this.#opened.promise
    if (this.#isShut) throw new Error('shut')
    const socket = connect({ port: this.forward.to, host: '127.0.0.1', noDelay: true })
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    await new Promise<void>((resolve, reject) => socket.once('connect', () => resolve()).once('error', reject).once('close', () => reject(new Error('shut'))))
    return socket
  }
}
