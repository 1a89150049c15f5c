import { createInterface } from 'node:readline'
import { PassThrough, Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { Exec } from '@kubernetes/client-node'
import { KernelbedError } from '../core/errors.ts'
import { journal } from '../core/journal.ts'
import type { ExecOptions, ExecResult, GuestStream } from '../machine/types.ts'
import { kubeClient } from './client.ts'
import type { ClusterHandle, ContainerRef } from './types.ts'

export type Access = Pick<ClusterHandle, 'kubeconfig'>

/** A command in a container failed: reason and command, then its stderr and stdout. */
export class PodCommandError extends KernelbedError {
  readonly result: ExecResult

  constructor(reason: string, where: ContainerRef, result: ExecResult, cause?: unknown) {
    super(`${reason} in ${where.namespace}/${where.pod} (${where.container}): ${result.command}`, {
      blame: 'cluster', details: [result.stderr.trimEnd(), result.stdout.trimEnd()].filter(Boolean).join('\n').split('\n').slice(-30).join('\n'), ...(cause === undefined ? {} : { cause }),
    })
    this.name = 'PodCommandError'
    this.result = result
  }
}

const defaultTimeoutMs = 30_000
const messageBytes = 256 * 1024

/** Runs a program in a container to its end, over the API server's exec. With `stdin` the image needs a shell. Throws PodCommandError. */
export async function execInPod(handle: Access, where: ContainerRef, argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
  const start = performance.now()
  const { exitCode, reason, stdout, stderr } = await runInPod(handle, where, argv, options)
  journal(`${where.namespace}/${where.pod}`, argv.join(' '), reason)
  const result: ExecResult = { command: argv.join(' '), exitCode: exitCode ?? -1, stdout: stdout.toString('utf8'), stderr: stderr.toString('utf8'), ms: Math.round(performance.now() - start) }
  if (exitCode !== 0 && !options.allowFailure) throw new PodCommandError(reason, where, result)
  return result
}

/** As execInPod, but answers what the program writes, byte for byte. */
export async function readInPod(handle: Access, where: ContainerRef, argv: readonly string[], options: Pick<ExecOptions, 'timeoutMs' | 'signal'> = {}): Promise<Buffer> {
  const { exitCode, reason, stdout, stderr } = await runInPod(handle, where, argv, options)
  if (exitCode !== 0) throw new PodCommandError(reason, where, { command: argv.join(' '), exitCode: exitCode ?? -1, stdout: '', stderr: stderr.toString('utf8'), ms: 0 })
  return stdout
}

interface Ran extends Ending { readonly stdout: Buffer; readonly stderr: Buffer }

/** Throws PodCommandError when the program cannot be started, or does not end in time. */
async function runInPod(handle: Access, where: ContainerRef, argv: readonly string[], options: ExecOptions): Promise<Ran> {
  const start = performance.now()
  const [stdout, stderr] = [new Gathered(), new Gathered()]
  const failure = (reason: string, cause?: unknown): PodCommandError =>
    new PodCommandError(reason, where, { command: argv.join(' '), exitCode: -1, stdout: stdout.text, stderr: stderr.text, ms: Math.round(performance.now() - start) }, cause)
  const input = options.stdin === undefined ? undefined : Buffer.from(options.stdin)
  const session = await openExec(handle, where, input ? measured(argv, input) : argv, stdout, stderr, input).catch((cause: unknown) => {
    throw failure(`cannot exec (${messageOf(cause)})`, cause)
  })
  try {
    return { ...(await inTime(session.done, options, failure)), stdout: stdout.bytes, stderr: stderr.bytes }
  } finally {
    session.close()
  }
}

/** The exec protocol cannot end standard input without ending the session: the command reads as many bytes as there are. */
const measured = (argv: readonly string[], input: Buffer): string[] => ['sh', '-c', 'n=$1; shift; head -c "$n" | "$@"', 'sh', String(input.length), ...argv]

/**
 * Starts a program in a container and hands on its lines (stdout and stderr). It ends when the stream is stopped, and also when this
 * process dies: a shell beside it, which the image must have, waits for a line on standard input or its end.
 */
export async function streamInPod(handle: Access, where: ContainerRef, argv: readonly string[]): Promise<GuestStream> {
  const output = new PassThrough()
  const lines = new Lines(output)
  const session = await openExec(handle, where, ['sh', '-c', leash, 'sh', ...argv], output, output, Buffer.alloc(0)).catch((cause: unknown) => {
    throw new PodCommandError(`cannot exec (${messageOf(cause)})`, where, { command: argv.join(' '), exitCode: -1, stdout: '', stderr: '', ms: 0 }, cause)
  })
  const done = Promise.all([session.done, lines.ended]).then(([{ exitCode }]) => exitCode)
  return {
    done,
    onLine: (listener) => lines.listen(listener),
    stop: async () => {
      session.write('\n')
      // A container that is being killed may never answer.
      await Promise.race([done, delay(5000, undefined, { ref: false })])
      session.close()
      await done
    },
  }
}

/** Runs "$@" without input, and ends it at a line, or the end, of our own input. */
const leash = `exec 3<&0; "$@" </dev/null 3<&- & child=$!
{ read -r _ <&3; kill $child; sleep 2; kill -9 $child; } >/dev/null 2>&1 & watcher=$!
exec 3<&-; wait $child; code=$?; kill $watcher 2>/dev/null; exit $code`

/** How a program ended: no exit code where that can't be known. */
export interface Ending { readonly exitCode: number | undefined; readonly reason: string }

/** A running exec. */
export interface Session {
  readonly done: Promise<Ending>
  write(text: string): void
  close(): void
}

interface ExecSocket {
  on(event: 'close' | 'error', listener: () => void): void
  close(): void
}

/** What the exec protocol's last message says, as much as is of use here. */
export interface ExecStatus {
  readonly status?: string
  readonly message?: string
  readonly details?: { readonly causes?: readonly { readonly reason?: string; readonly message?: string }[] }
}

/** Starts a program in a container, with its outputs and, where there is an `input`, more of it by `write`. */
export async function openExec(handle: Access, where: ContainerRef, argv: readonly string[], stdout: Writable, stderr: Writable, input: Buffer | undefined): Promise<Session> {
  const { promise: done, resolve } = Promise.withResolvers<Ending>()
  const stdin = input === undefined ? null : new PassThrough()
  const exec = new Exec(kubeClient(handle).config)
  // The client's declaration of the socket needs types that it does not bring along.
  const opening: Promise<unknown> = exec.exec(where.namespace, where.pod, where.container, [...argv], stdout, stderr, stdin, false, (status) => resolve(endingOf(status)))
  const socket = await opening as ExecSocket
  const lost = (): void => {
    resolve({ exitCode: undefined, reason: 'connection lost' })
    stdout.end()
  }
  socket.on('close', lost)
  socket.on('error', lost)
  // A message each; servers limit their length.
  for (let at = 0; input && at < input.length; at += messageBytes) stdin?.write(input.subarray(at, at + messageBytes))
  return { done, write: (text) => void stdin?.write(text), close: () => socket.close() }
}

/** Exit code and what to say of it; 126, as a shell has it, for a program that could not be run. */
export function endingOf(status: ExecStatus): Ending {
  if (status.status === 'Success') return { exitCode: 0, reason: 'exit code 0' }
  const code = status.details?.causes?.find(({ reason }) => reason === 'ExitCode')?.message
  // The runtime wraps its reason in those of everyone it came through.
  return code === undefined ? { exitCode: 126, reason: (status.message ?? 'cannot run').replace(/^.*unable to start container process: /, '') } : { exitCode: Number(code), reason: `exit code ${code}` }
}

/** What `work` resolves with, or the failure with its reason when that takes longer than the options allow (30 s without), or they are aborted. */
export async function inTime<T>(work: Promise<T>, { timeoutMs = defaultTimeoutMs, signal }: Pick<ExecOptions, 'timeoutMs' | 'signal'>, failure: (reason: string) => Error): Promise<T> {
  const { promise: failed, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(failure(`timed out after ${timeoutMs / 1000} s`)), timeoutMs)
  const abort = (): void => reject(failure('stopped'))
  if (signal?.aborted) abort()
  signal?.addEventListener('abort', abort)
  try {
    return await Promise.race([work, failed])
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
  }
}

class Gathered extends Writable {
  readonly #chunks: Buffer[] = []

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#chunks.push(chunk)
    done()
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks)
  }

  get text(): string {
    return this.bytes.toString('utf8')
  }
}

/** Lines of a stream; those that come before anyone listens are kept. */
class Lines {
  readonly ended: Promise<void>
  readonly #listeners: ((line: string) => void)[] = []
  readonly #early: string[] = []

  constructor(input: PassThrough) {
    const reader = createInterface({ input })
    reader.on('line', (line) => {
      if (this.#listeners.length === 0) this.#early.push(line)
      for (const listener of this.#listeners) listener(line)
    })
    this.ended = new Promise((resolve) => reader.once('close', () => resolve()))
  }

  listen(listener: (line: string) => void): void {
    for (const line of this.#early.splice(0)) listener(line)
    this.#listeners.push(listener)
  }
}

/** The websocket's error event carries its cause in `message`. */
function messageOf(cause: unknown): string {
  const message = typeof cause === 'object' && cause !== null && 'message' in cause ? String(cause.message) : String(cause)
  return message.includes('response: 404') ? 'there is no such pod or container' : message
}
