import { execa, type Options } from 'execa'
import { KernelbedError, type Blame } from './errors.ts'
import { journal } from './journal.ts'

export interface CommandOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string | Uint8Array
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
  /** Return instead of throwing when the exit code is not 0. */
  readonly allowFailure?: boolean
  /** Each line of stdout and stderr as it is printed. */
  readonly onLine?: (line: string) => void
  readonly blame?: Blame
  readonly hint?: string
}

export interface CommandResult { readonly command: string; readonly exitCode: number; readonly stdout: string; readonly stderr: string }

/** A command of this host failed: reason and command, then its stderr and stdout. */
export class CommandError extends KernelbedError {
  readonly result: CommandResult

  constructor(reason: string, result: CommandResult, options: CommandOptions, cause: unknown) {
    super(`${reason}: ${result.command}`, {
      blame: options.blame ?? 'host',
      details: [tail(result.stderr), tail(result.stdout)].filter(Boolean).join('\n'),
      ...(options.hint === undefined ? {} : { hint: options.hint }),
      cause,
    })
    this.name = 'CommandError'
    this.result = result
  }
}

const tail = (text: string): string => text.trimEnd().split('\n').slice(-20).join('\n')

/** Runs a program to its end. Its whole process group ends on timeout or abort. Throws CommandError. */
export async function runCommand(file: string, args: readonly string[] = [], options: CommandOptions = {}): Promise<CommandResult> {
  const settings: Options = {
    reject: false,
    stdin: options.input === undefined ? 'ignore' : 'pipe',
    ...(options.input === undefined ? {} : { input: options.input }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs }),
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
  }
  const child = execa(file, args, settings)
  if (options.onLine) for (const stream of [child.stdout, child.stderr]) eachLine(stream, options.onLine)
  const done = await child
  const result: CommandResult = { command: [file, ...args].join(' '), exitCode: done.exitCode ?? -1, stdout: String(done.stdout ?? ''), stderr: String(done.stderr ?? '') }
  journal('host', result.command, reasonOf(done))
  if (!done.failed || (options.allowFailure && done.exitCode !== undefined)) return result
  throw new CommandError(reasonOf(done), result, options, done)
}

function reasonOf(done: { timedOut?: boolean; isCanceled?: boolean; exitCode?: number | undefined; signal?: string | undefined; code?: string | undefined }): string {
  if (done.timedOut) return 'timed out'
  if (done.isCanceled) return 'stopped'
  if (done.code === 'ENOENT') return 'not installed'
  if (done.signal) return `killed by ${done.signal}`
  return `exit code ${done.exitCode ?? '?'}`
}

function eachLine(stream: NodeJS.ReadableStream | null | undefined, onLine: (line: string) => void): void {
  let rest = ''
  stream?.on('data', (chunk: Buffer | string) => {
    const parts = (rest + String(chunk)).split(/[\r\n]+/)
    rest = parts.pop() ?? ''
    for (const line of parts) if (line) onLine(line)
  })
}
