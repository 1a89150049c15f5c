import { createConnection, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { KernelbedError } from '../core/errors.ts'
import { waitFor } from '../core/wait.ts'

/** QEMU's control socket (docs/interop/qmp-spec of QEMU), one command at a time. */
export interface Qmp {
  /** Runs a command and answers its `return`. Throws KernelbedError with QEMU's own words when it refuses, or ends. */
  execute(command: string, args?: object): Promise<unknown>
  close(): void
}

interface Message { readonly return?: unknown; readonly error?: { readonly desc: string }; readonly event?: string }

/** Connects, waiting for the socket to be there while QEMU starts; `assertAlive` throws when it has ended. */
export async function openQmp(path: string, assertAlive: () => void, signal: AbortSignal): Promise<Qmp> {
  const socket = await waitFor({ name: `QEMU's control socket ${path}`, timeoutMs: 15_000, intervalMs: 10, signal, blame: 'hypervisor' }, async () => {
    assertAlive()
    return { done: await connected(path) }
  })
  const qmp = new QmpConnection(socket)
  await qmp.execute('qmp_capabilities')
  return qmp
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path)
    socket.once('error', reject).once('connect', () => resolve(socket.off('error', reject)))
  })
}

class QmpConnection implements Qmp {
  readonly #socket: Socket
  #answer: ((message: Message | Error) => void) | undefined
  #ended: Error | undefined

  constructor(socket: Socket) {
    this.#socket = socket
    const end = (error: Error): void => {
      this.#ended ??= error
      this.#answer?.(error)
    }
    socket.on('error', end).on('close', () => end(new Error('QEMU closed its control socket')))
    createInterface({ input: socket }).on('line', (line) => this.#read(line)).on('error', end)
  }

  async execute(command: string, args?: object): Promise<unknown> {
    if (this.#answer) throw new Error(`QMP ${command}: another command is under way`)
    const message = await new Promise<Message | Error>((resolve) => {
      this.#answer = resolve
      if (this.#ended) return resolve(this.#ended)
      this.#socket.write(`${JSON.stringify({ execute: command, ...(args === undefined ? {} : { arguments: args }) })}\n`)
    })
    this.#answer = undefined
    const why = message instanceof Error ? message.message : message.error?.desc
    if (why !== undefined) throw new KernelbedError(`QEMU refused ${command}: ${why}`, { blame: 'hypervisor' })
    return (message as Message).return
  }

  close(): void {
    this.#socket.destroy()
  }

  /** Events and the greeting are not answers. */
  #read(line: string): void {
    const message = JSON.parse(line) as Message
    if ('return' in message || 'error' in message) this.#answer?.(message)
  }
}

interface MigrateInfo { readonly status?: string; readonly 'error-desc'?: string }

/** QEMU spares a network by default. */
const parameters = { 'max-bandwidth': 2 ** 40 }

/** Writes the state of a stopped machine, memory and devices but not its disks, through a shell command's standard input. */
export async function saveState(qmp: Qmp, command: string, signal: AbortSignal): Promise<void> {
  await qmp.execute('migrate-set-parameters', parameters)
  await qmp.execute('migrate', { uri: `exec:${command}` })
  await migrated(qmp, signal)
}

/** Reads such a state from a shell command's standard output, into a QEMU started with `incoming`. The machine is stopped afterwards. */
export async function loadState(qmp: Qmp, command: string, signal: AbortSignal): Promise<void> {
  await qmp.execute('migrate-incoming', { uri: `exec:${command}` })
  await migrated(qmp, signal)
}

async function migrated(qmp: Qmp, signal: AbortSignal): Promise<void> {
  await waitFor({ name: 'QEMU to move the machine\'s state', timeoutMs: 60_000, intervalMs: 20, signal, blame: 'hypervisor' }, async () => {
    const info = (await qmp.execute('query-migrate')) as MigrateInfo
    if (info.status === 'failed' || info.status === 'cancelled') throw new KernelbedError(`QEMU could not move the machine's state: ${info['error-desc'] ?? info.status}`, { blame: 'hypervisor' })
    return info.status === 'completed' ? { done: undefined } : { seen: info.status ?? 'not begun' }
  })
}
