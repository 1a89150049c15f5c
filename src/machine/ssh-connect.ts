import { readFileSync } from 'node:fs'
import { createConnection, type Socket } from 'node:net'
import ssh2, { type Client } from 'ssh2'
import { KernelbedError } from '../core/errors.ts'
import { AbortedError } from '../core/wait.ts'
import type { MachineHandle } from './types.ts'

export interface ConnectOptions {
  /** For the server's first bytes. Default 10 s. */
  readonly bannerMs?: number
  /** For key exchange and login after that. Default 30 s: an emulated guest on a busy host. */
  readonly loginMs?: number
  readonly signal?: AbortSignal
}

/** Cheapest first for a guest that is emulated; each is in dropbear 2022.83 and in OpenSSH. */
const ALGORITHMS = {
  kex: ['curve25519-sha256', 'curve25519-sha256@libssh.org', 'ecdh-sha2-nistp256'],
  serverHostKey: ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'rsa-sha2-256'],
  cipher: ['chacha20-poly1305@openssh.com', 'aes128-ctr', 'aes128-gcm@openssh.com'],
  hmac: ['hmac-sha2-256', 'hmac-sha1'],
  compress: ['none'],
} satisfies ssh2.Algorithms

/**
 * Logs in to a machine. The caller ends the client. QEMU accepts connections to the forwarded port long before the guest does, so the
 * server's first bytes have a deadline of their own. Throws KernelbedError.
 */
export async function connectSsh(ssh: MachineHandle['ssh'], options: ConnectOptions = {}): Promise<Client> {
  const where = `${ssh.user}@${ssh.host}:${ssh.port}`
  const privateKey = readKey(ssh.keyFile)
  if (options.signal?.aborted) throw new AbortedError(`SSH to ${where}`)
  try {
    const sock = await openUntilBanner(ssh, options)
    return await logIn(sock, { username: ssh.user, privateKey }, options)
  } catch (cause) {
    if (options.signal?.aborted) throw new AbortedError(`SSH to ${where}`)
    throw new KernelbedError(`no SSH to ${where}: ${cause instanceof Error ? cause.message : String(cause)}`, { blame: 'hypervisor', hint: 'see the machine\'s console log in the run folder', cause })
  }
}

function readKey(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (cause) {
    throw new KernelbedError(`cannot read the SSH key ${file}`, { blame: 'host', hint: 'its run folder may have been removed', cause })
  }
}

/** A connection on which the server has spoken; nothing has been read from it. */
function openUntilBanner(ssh: MachineHandle['ssh'], { bannerMs = 10_000, signal }: ConnectOptions): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: ssh.host, port: ssh.port, noDelay: true })
    const timer = setTimeout(() => fail(new Error(`no SSH banner within ${bannerMs / 1000} s`)), bannerMs)
    const settle = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
      socket.off('error', fail).off('end', closed)
    }
    const fail = (error: Error): void => {
      settle()
      socket.on('error', () => undefined).destroy()
      reject(error)
    }
    const closed = (): void => fail(new Error('the guest closed the connection'))
    const abort = (): void => fail(new Error('stopped'))
    signal?.addEventListener('abort', abort, { once: true })
    socket.once('error', fail).once('end', closed)
    socket.once('readable', () => {
      if (socket.readableLength === 0) return
      settle()
      resolve(socket)
    })
  })
}

function logIn(sock: Socket, login: { username: string; privateKey: Buffer }, { loginMs = 30_000, signal }: ConnectOptions): Promise<Client> {
  return new Promise((resolve, reject) => {
    const client = new ssh2.Client()
    // Each command that is being started listens for the connection's end.
    client.setMaxListeners(0)
    const abort = (): void => void client.destroy()
    signal?.addEventListener('abort', abort, { once: true })
    const settle = (act: () => void): void => {
      signal?.removeEventListener('abort', abort)
      act()
    }
    client.once('ready', () => settle(() => resolve(client)))
    client.once('close', () => settle(() => reject(new Error('the connection closed during login'))))
    // Stays for the client's whole life: an 'error' without a listener would end the process; 'close' follows it.
    client.on('error', (error) => settle(() => reject(error)))
    // Named alone, so that no round trip is spent on the method 'none'.
    const authHandler: ssh2.AnyAuthMethod[] = [{ type: 'publickey', username: login.username, key: login.privateKey }]
    client.connect({ sock, username: login.username, authHandler, readyTimeout: loginMs, algorithms: ALGORITHMS, keepaliveInterval: 15_000, keepaliveCountMax: 8, hostVerifier: () => true })
  })
}
