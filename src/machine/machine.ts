import { createReadStream, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { KernelbedError, type Blame } from '../core/errors.ts'
import { journal } from '../core/journal.ts'
import { shellQuote } from '../core/shell-quote.ts'
import { ConsoleFile, bootPhase } from './console.ts'
import { GuestCommandError } from './guest-error.ts'
import { guestStream } from './stream.ts'
import { SshSession, type RemoteCommand } from './ssh-session.ts'
import type { ExecOptions, ExecResult, Machine, MachineHandle } from './types.ts'

/** Every command has a deadline; longer work says so. */
const DEFAULT_TIMEOUT_MS = 120_000
const CONNECTION_LOST = 'the connection was lost'

/** Reaches a running machine from any process of this host, over a connection of its own. Throws KernelbedError when it doesn't answer. */
export async function attachMachine(handle: MachineHandle): Promise<Machine> {
  const session = new SshSession(handle.ssh)
  const machine = machineOver(session, handle)
  await session.connect().catch((error: unknown) => {
    throw explainLoss(handle, error)
  })
  return machine
}

/** A machine whose commands go over `session`. */
export function machineOver(session: SshSession, handle: MachineHandle): Machine {
  const console = new ConsoleFile(handle.consoleFile)
  const run = (command: string, options: ExecOptions, feed?: Readable): Promise<RawResult> => execute(session, handle, command, options, feed)
  return {
    handle,
    name: handle.name,
    exec: async (command, options = {}) => {
      const raw = await run(command, options).catch((error: unknown) => {
        journal(handle.name, command, error instanceof Error ? error.message : String(error))
        throw error
      })
      journal(handle.name, command, `exit code ${raw.exitCode}`)
      return { ...raw, stdout: raw.stdout.toString('utf8') }
    },
    stream: async (command) => guestStream(await session.start(command).catch((error: unknown) => Promise.reject(explainLoss(handle, error)))),
    upload: async (local, remote, mode) => {
      // Dropbear takes some 10 MB/s on an emulated machine.
      const timeoutMs = DEFAULT_TIMEOUT_MS + statSync(local).size / 1000
      await run(receive(remote, mode), { timeoutMs }, createReadStream(local, { highWaterMark: 256 * 1024 }))
    },
    writeFile: async (remote, content, mode) => {
      await run(receive(remote, mode), { stdin: content })
    },
    readFile: async (remote) => (await run(`cat ${shellQuote(remote)}`, {})).stdout,
    consoleTail: (lines) => console.tail(lines),
    close: async () => session.close(),
  }
}

/** A file appears under its name when it is whole. */
function receive(remote: string, mode: number | undefined): string {
  const part = shellQuote(`${remote}.part`)
  const chmod = mode === undefined ? '' : ` && chmod ${mode.toString(8)} ${part}`
  return `mkdir -p ${shellQuote(dirname(remote))} && cat > ${part}${chmod} && mv -f ${part} ${shellQuote(remote)}`
}

interface RawResult extends Omit<ExecResult, 'stdout'> { readonly stdout: Buffer }

async function execute(session: SshSession, handle: MachineHandle, command: string, options: ExecOptions, feed?: Readable): Promise<RawResult> {
  const start = performance.now()
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
  let stopped: string | undefined
  let remote: RemoteCommand | undefined
  const stop = (reason: string): void => {
    stopped ??= reason
    void remote?.kill('KILL')
  }
  const timer = setTimeout(() => stop(`timed out after ${timeoutMs / 1000} s`), timeoutMs)
  const abort = (): void => stop('stopped')
  options.signal?.addEventListener('abort', abort, { once: true })
  try {
    if (options.signal?.aborted) stopped = 'stopped'
    else remote = await session.start(command, options.signal)
    if (stopped !== undefined) await remote?.kill('KILL')
    const out = remote ? await collect(remote, feed ?? (options.stdin === undefined ? undefined : Readable.from([options.stdin]))) : nothing
    const result = { command, exitCode: out.exitCode ?? -1, stdout: out.stdout, stderr: out.stderr.toString('utf8'), ms: performance.now() - start }
    if (stopped === undefined && out.exitCode !== undefined && (out.exitCode === 0 || options.allowFailure)) return result
    const reason = stopped ?? (out.exitCode !== undefined ? `exit code ${out.exitCode}` : out.signal ? `killed by SIG${out.signal.replace(/^SIG/, '')}` : `${CONNECTION_LOST}${lossReason(handle)}`)
    throw new GuestCommandError(handle.name, reason, { ...result, stdout: out.stdout.toString('utf8') }, blameFor(reason, options), out.feedError)
  } catch (error) {
    if (error instanceof GuestCommandError) throw error
    throw explainLoss(handle, error)
  } finally {
    clearTimeout(timer)
    options.signal?.removeEventListener('abort', abort)
  }
}

function blameFor(reason: string, options: ExecOptions): Blame {
  if (reason.includes('kernel panic')) return 'guest kernel'
  return options.blame ?? (reason.startsWith(CONNECTION_LOST) ? 'hypervisor' : 'cluster')
}

interface Output { readonly stdout: Buffer; readonly stderr: Buffer; readonly exitCode: number | undefined; readonly signal: string | undefined; readonly feedError: unknown }
const nothing: Output = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0), exitCode: undefined, signal: undefined, feedError: undefined }

async function collect(remote: RemoteCommand, feed: Readable | undefined): Promise<Output> {
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  remote.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
  remote.stderr.on('data', (chunk: Buffer) => stderr.push(chunk))
  let feedError: unknown
  // A command that ends before it has read its input is no failure by itself: its exit code tells.
  if (feed) pipeline(feed, remote.stdin).catch((error: unknown) => (feedError = error))
  else remote.stdin.end()
  const exit = await remote.done
  return { stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr), exitCode: exit.exitCode, signal: exit.signal, feedError }
}

/** ` (kernel panic: …)` when the console tells why a machine went away. */
function lossReason(handle: MachineHandle): string {
  const console = new ConsoleFile(handle.consoleFile)
  console.poll()
  const phase = bootPhase(console.text)
  return phase.at === 'panic' ? ` (kernel panic: ${phase.message})` : ''
}

/** Why a machine cannot be reached: its kernel panicked, its QEMU is gone, or it doesn't answer. */
export function explainLoss(handle: MachineHandle, cause: unknown): KernelbedError {
  const console = new ConsoleFile(handle.consoleFile)
  const details = console.tail(20)
  const phase = bootPhase(console.text)
  if (phase.at === 'panic') return new KernelbedError(`${handle.name}: kernel panic: ${phase.message}`, { blame: 'guest kernel', details, cause })
  const why = cause instanceof Error ? cause.message : String(cause)
  return new KernelbedError(`${handle.name} does not answer: ${why}`, { blame: cause instanceof KernelbedError ? cause.blame : 'hypervisor', details, hint: `its console: ${handle.consoleFile}`, cause })
}
