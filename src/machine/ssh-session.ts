import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Readable } from 'node:stream'
import type { Client, ClientChannel } from 'ssh2'
import { connectSsh } from './ssh-connect.ts'
import type { MachineHandle } from './types.ts'

/** How a remote command ended: `exitCode` is undefined when a signal killed it or the connection was lost. */
export interface RemoteExit { readonly exitCode: number | undefined; readonly signal: string | undefined }

export interface RemoteCommand {
  readonly stdout: Readable
  readonly stderr: Readable
  readonly stdin: ClientChannel
  readonly done: Promise<RemoteExit>
  /** Ends the command and all its children in the guest, then the channel. Never throws. */
  kill(signal?: 'TERM' | 'KILL'): Promise<void>
}

/** How often a stopping command is looked at, and how long it gets before KILL. */
const GRACE_MS = 2000
/** dropbear's MAX_CMD_LEN. */
const LONGEST_COMMAND = 9000
const REFUSALS = 20

/** One SSH connection to a machine, made when first needed and again when it was lost. */
export class SshSession {
  readonly #ssh: MachineHandle['ssh']
  #client: Promise<Client> | undefined
  #closed = false

  constructor(ssh: MachineHandle['ssh'], client?: Client) {
    this.#ssh = ssh
    if (client) void this.#keep(Promise.resolve(client))
  }

  /** Makes the connection now. Throws KernelbedError. */
  async connect(signal?: AbortSignal): Promise<Client> {
    if (this.#closed) throw new Error('the connection has been closed by its owner')
    return this.#client ?? this.#keep(connectSsh(this.#ssh, signal ? { signal } : {}))
  }

  /** Starts a shell command. Throws when the machine can't be reached, or when the command is longer than dropbear takes. */
  async start(command: string, signal?: AbortSignal): Promise<RemoteCommand> {
    const id = randomUUID()
    // Names the command's processes in /proc, so that they can be found and ended: closing an SSH channel ends nothing.
    const tagged = `export KB_EXEC=${id}; ${command}`
    if (Buffer.byteLength(tagged) > LONGEST_COMMAND) throw new Error(`a command of ${Buffer.byteLength(command)} bytes is more than dropbear takes: write it to a file first`)
    const channel = await this.#open(tagged, signal)
    return { ...channel, kill: (name) => this.#kill(channel, id, name) }
  }

  /**
   * A channel for a command, asked for again when it was refused before the command began: on a connection that turns out to be dead (once),
   * and by dropbear 2022.83, which closes a channel it has just opened when another command on the connection ends before the request arrives.
   */
  async #open(command: string, signal?: AbortSignal): Promise<OpenChannel> {
    for (let refused = 0, dead = 0; ; ) {
      const client = await this.connect(signal)
      try {
        return await openChannel(client, command)
      } catch (error) {
        if (isDead(error) && dead++ === 0) this.#client = undefined
        else if (isRefused(error) && refused++ < REFUSALS) await delay(refused * 5)
        else throw error
      }
    }
  }

  close(): void {
    this.#closed = true
    void this.#client?.then((client) => client.end()).catch(() => undefined)
    this.#client = undefined
  }

  #keep(connecting: Promise<Client>): Promise<Client> {
    this.#client = connecting
    const forget = (): void => {
      if (this.#client === connecting) this.#client = undefined
    }
    connecting.then((client) => client.once('close', forget), forget)
    return connecting
  }

  async #kill(channel: OpenChannel, id: string, signal: 'TERM' | 'KILL' = 'TERM'): Promise<void> {
    if (await within(channel.done, 0)) return
    await this.#killTagged(id, signal)
    if (signal === 'TERM' && !(await within(channel.done, GRACE_MS))) await this.#killTagged(id, 'KILL')
    if (!(await within(channel.done, GRACE_MS))) channel.stdin.destroy()
  }

  /** Ends every process of a command. The pattern doesn't match itself in this shell's own command line. */
  async #killTagged(id: string, signal: 'TERM' | 'KILL'): Promise<void> {
    const pattern = `KB_EXEC=[${id.slice(0, 1)}]${id.slice(1)}`
    const script = `for f in $(grep -l '${pattern}' /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null); do f=\${f#/proc/}; kill -${signal} \${f%%/*} 2>/dev/null; done; true`
    const channel = await this.#open(script).catch(() => undefined)
    channel?.stdout.resume()
    channel?.stderr.resume()
    if (channel) await within(channel.done, 10_000)
  }
}

const isRefused = (error: unknown): boolean => error instanceof Error && error.message === 'Unable to exec'
const isDead = (error: unknown): boolean => error instanceof Error && /Not connected|No response from server|Channel open failure|Socket is closed|ended by the other party/i.test(error.message)

/** False when the promise has not settled in time. */
async function within(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), ms)))
  return Promise.race([promise.then(() => true), late]).finally(() => clearTimeout(timer))
}

type OpenChannel = Omit<RemoteCommand, 'kill'>

/** All listeners are added before anything else of the same packet is handled: a short command's end may follow at once. */
function openChannel(client: Client, command: string): Promise<OpenChannel> {
  return new Promise((resolve, reject) => {
    const lost = (): void => reject(new Error('the connection was ended by the other party'))
    client.once('close', lost)
    client.exec(command, (error, channel) => {
      client.off('close', lost)
      if (error) reject(error)
      else resolve({ stdout: channel, stderr: channel.stderr, stdin: channel, done: endOf(channel) })
    })
  })
}

function endOf(channel: ClientChannel): Promise<RemoteExit> {
  let exit: RemoteExit = { exitCode: undefined, signal: undefined }
  channel.on('exit', (code: number | null, signal?: string) => (exit = { exitCode: code ?? undefined, signal }))
  channel.on('error', () => undefined)
  channel.stderr.on('error', () => undefined)
  return new Promise((resolve) => void channel.once('close', () => resolve(exit)))
}
