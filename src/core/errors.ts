/** Who has to act on a failure. */
export type Blame = 'usage' | 'host' | 'hypervisor' | 'guest kernel' | 'cluster' | 'agent' | 'test'

export interface ErrorDetails {
  readonly blame: Blame
  /** What to do next, one sentence. */
  readonly hint?: string
  /** Evidence shown under the message: last console lines, a command's stderr, a wait's log. */
  readonly details?: string
  readonly cause?: unknown
}

/** The one error class that reaches a person: what happened, whom to blame, what to do. Never shown with a stack trace. */
export class KernelbedError extends Error {
  readonly blame: Blame
  readonly hint: string | undefined
  readonly details: string | undefined

  constructor(message: string, { blame, hint, details, cause }: ErrorDetails) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'KernelbedError'
    this.blame = blame
    this.hint = hint
    this.details = details
  }

  /** Exit code of the command: 2 for wrong use, 1 for a failed test, 3 for everything else. */
  get exitCode(): 1 | 2 | 3 {
    return this.blame === 'usage' ? 2 : this.blame === 'test' ? 1 : 3
  }
}

/** Wrong flag, name or value: nothing has been started. */
export function usageError(message: string, hint?: string): KernelbedError {
  return new KernelbedError(message, { blame: 'usage', ...(hint === undefined ? {} : { hint }) })
}

/** What a person can do about an error of the operating system; any other unexpected error is a defect of ours. */
const systemHints: Readonly<Record<string, string>> = {
  ENOSPC: 'free some space; the cache (~/.cache/kernelbed) and old runs (.kernelbed/runs) are safe to delete',
  EDQUOT: 'your disk quota is used up; the cache (~/.cache/kernelbed) and old runs (.kernelbed/runs) are safe to delete',
  EACCES: 'give this user access, or run in a folder of its own',
  EROFS: 'run in a folder that can be written',
  ENOMEM: 'end other programs, or ask for smaller machines (--memory)',
  EMFILE: 'raise the limit of open files (ulimit -n)',
}

/** An error of the operating system as a KernelbedError; anything else as it is. */
export function fromSystem(error: unknown): unknown {
  if (error instanceof KernelbedError || !(error instanceof Error)) return error
  const hint = systemHints[(error as NodeJS.ErrnoException).code ?? '']
  return hint === undefined ? error : new KernelbedError(error.message, { blame: 'host', hint })
}

/** Message, evidence and hint as a person reads them. A stack trace is shown for a defect of ours only. */
export function explain(thrown: unknown): string {
  const error = fromSystem(thrown)
  if (error instanceof AggregateError) return error.errors.map(explain).join('\n')
  if (!(error instanceof KernelbedError)) return error instanceof Error ? (error.stack ?? error.message) : String(error)
  const lines = [`error (${error.blame}): ${error.message}`]
  if (error.details) lines.push(error.details.trimEnd().replace(/^/gm, '  | '))
  if (error.cause instanceof KernelbedError) lines.push(explain(error.cause).replace(/^/gm, '  '))
  else if (error.cause instanceof Error && !(error.cause.name === 'ExecaError') && !error.message.includes(error.cause.message)) lines.push(`  cause: ${error.cause.message}`)
  if (error.hint) lines.push(`  → ${error.hint}`)
  return lines.join('\n')
}
