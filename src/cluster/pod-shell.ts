import { randomBytes } from 'node:crypto'
import { Writable } from 'node:stream'
import { journal } from '../core/journal.ts'
import { shellQuote } from '../core/shell-quote.ts'
import type { ExecOptions, ExecResult } from '../machine/types.ts'
import { execInPod, inTime, openExec, PodCommandError, type Access, type Session } from './pod-exec.ts'
import type { ContainerRef } from './types.ts'

/** A shell that runs in a container, and what it has printed since the last command. */
interface Open { readonly session: Session; readonly stdout: Output; readonly stderr: Output }

/**
 * A shell in a container, kept open: a command costs a fork there instead of an exec through API server and container runtime, which takes a second on an emulated
 * node. Commands run one after the other. Opened at the first one, and again after it ended; where the image has no shell each command is an exec of its own.
 */
export class PodShell {
  readonly #handle: Access
  readonly #where: ContainerRef
  #open: Promise<Open> | undefined
  #last: Promise<unknown> = Promise.resolve()
  #without = false

  readonly #exec: typeof openExec

  /** `exec`: how a program is started in the container. */
  constructor(handle: Access, where: ContainerRef, exec: typeof openExec = openExec) {
    this.#handle = handle
    this.#where = where
    this.#exec = exec
  }

  /** Runs a program to its end, as execInPod does; standard input is empty. Throws PodCommandError. */
  run(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    if (options.stdin !== undefined) return execInPod(this.#handle, this.#where, argv, options)
    const mine = this.#last.then(() => this.#run(argv, options))
    this.#last = mine.catch(() => undefined)
    return mine
  }

  /** Ends the shell. */
  async close(): Promise<void> {
    const opening = this.#open
    this.#open = undefined
    const open = await opening?.catch(() => undefined)
    open?.session.close()
  }

  async #run(argv: readonly string[], options: ExecOptions): Promise<ExecResult> {
    if (this.#without) return execInPod(this.#handle, this.#where, argv, options)
    const start = performance.now()
    const result = (exitCode: number, stdout = '', stderr = ''): ExecResult => ({ command: argv.join(' '), exitCode, stdout, stderr, ms: Math.round(performance.now() - start) })
    const open = await this.#opened().catch((cause: unknown) => {
      throw new PodCommandError(`cannot exec (${cause instanceof Error ? cause.message : String(cause)})`, this.#where, result(-1), cause)
    })
    const mark = `kb-${randomBytes(8).toString('hex')}`
    open.session.write(`${argv.map(shellQuote).join(' ')} </dev/null; printf '\\n%s %s\\n' ${mark} $?; printf '\\n%s\\n' ${mark} >&2\n`)
    try {
      const [stdout, stderr] = await answer(open, mark, options)
      const exitCode = Number(stdout.code)
      journal(`${this.#where.namespace}/${this.#where.pod}`, argv.join(' '), `exit code ${exitCode}`)
      const done = result(exitCode, stdout.text, stderr.text)
      if (exitCode !== 0 && !options.allowFailure) throw new PodCommandError(`exit code ${exitCode}`, this.#where, done)
      return done
    } catch (error) {
      if (error instanceof PodCommandError) throw error
      await this.close()
      // Nothing has been run yet where there is no shell to run it.
      if (error instanceof NoShell) {
        this.#without = true
        return execInPod(this.#handle, this.#where, argv, options)
      }
      const reason = error instanceof Error ? error.message : String(error)
      journal(`${this.#where.namespace}/${this.#where.pod}`, argv.join(' '), reason)
      throw new PodCommandError(reason, this.#where, result(-1, open.stdout.text, open.stderr.text))
    }
  }

  /** Opens the shell, unless it is open. */
  #opened(): Promise<Open> {
    if (this.#open) return this.#open
    const opening: Promise<Open> = this.#start(() => this.#forget(opening))
    opening.catch(() => this.#forget(opening))
    return (this.#open = opening)
  }

  /** A shell that ended late must not take the place of the one after it. */
  #forget(opening: Promise<Open>): void {
    if (this.#open === opening) this.#open = undefined
  }

  async #start(ended: () => void): Promise<Open> {
    const [stdout, stderr] = [new Output(), new Output()]
    const session = await this.#exec(this.#handle, this.#where, ['sh'], stdout, stderr, Buffer.alloc(0))
    // It goes with its container, which may be started again: the next command then opens another one.
    void session.done.then(ended)
    return { session, stdout, stderr }
  }
}

/** What came before the mark on both outputs. */
function answer({ session, stdout, stderr }: Open, mark: string, options: ExecOptions): Promise<[Answered, Answered]> {
  const ended = session.done.then(({ exitCode, reason }) => {
    throw exitCode === 126 || exitCode === 127 ? new NoShell() : new Error(`the shell ended: ${reason}`)
  })
  return inTime(Promise.race([Promise.all([stdout.until(mark), stderr.until(mark)]), ended]), options, (reason) => new Error(reason))
}

/** The image has none. */
class NoShell extends Error {}

interface Answered { readonly text: string; /** What stands behind the mark. */ readonly code: string }

/** One of a shell's outputs. */
class Output extends Writable {
  #chunks: Buffer[] = []
  #wake: () => void = () => undefined

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#chunks.push(chunk)
    this.#wake()
    done()
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString('utf8')
  }

  /** Resolves when a line that begins with the mark has come; answers what was before it, and forgets both. */
  async until(mark: string): Promise<Answered> {
    for (;;) {
      const all = Buffer.concat(this.#chunks)
      this.#chunks = [all]
      const at = all.lastIndexOf(`\n${mark}`)
      const end = at < 0 ? -1 : all.indexOf(10, at + 1)
      if (end >= 0) {
        this.#chunks = [all.subarray(end + 1)]
        return { text: all.subarray(0, at).toString('utf8'), code: all.subarray(at + 1 + mark.length, end).toString('utf8').trim() }
      }
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }
}
