import { KernelbedError, type Blame } from '../core/errors.ts'
import type { ExecResult } from './types.ts'

const KEPT_LINES = 30
const tail = (text: string): string => text.trimEnd().split('\n').slice(-KEPT_LINES).join('\n')

/** A command in a guest failed: `node1: exit code 2: ls /nowhere`, then its stderr, then its stdout. Same shape as the result. */
export class GuestCommandError extends KernelbedError {
  readonly machine: string
  readonly reason: string
  readonly result: ExecResult

  constructor(machine: string, reason: string, result: ExecResult, blame: Blame, cause?: unknown) {
    super(`${machine}: ${reason}: ${shorten(result.command)}`, { blame, details: [tail(result.stderr), tail(result.stdout)].filter(Boolean).join('\n'), cause })
    this.name = 'GuestCommandError'
    this.machine = machine
    this.reason = reason
    this.result = result
  }

  get command(): string {
    return this.result.command
  }

  get status(): number {
    return this.result.exitCode
  }

  get stdout(): string {
    return this.result.stdout
  }

  get stderr(): string {
    return this.result.stderr
  }
}

function shorten(command: string): string {
  const line = command.trim().replace(/\s*\n\s*/g, ' ⏎ ')
  return line.length > 200 ? `${line.slice(0, 199)}…` : line
}
