import os from 'node:os'

const NAMES = new Map(Object.entries(os.constants.errno).map(([name, number]) => [number, name]))

/** `ENOENT` for 2; the number itself when it has no name. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`
}

/** What the datapath throws: the message says what failed, with which errno, and what to do about it. */
export class DatapathError extends Error {
  /** Positive errno of the call that failed, when one did. */
  readonly errno: number | undefined
  // Private, so that printing the error doesn't print megabytes.
  readonly #verifierLog: string | undefined

  constructor(message: string, details: { errno?: number | undefined; verifierLog?: string; cause?: unknown } = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'DatapathError'
    this.errno = details.errno
    this.#verifierLog = details.verifierLog
  }

  /** The verifier's whole log, when it was the verifier that refused. */
  get verifierLog(): string | undefined {
    return this.#verifierLog
  }
}

/** A failed system call. `hint` is appended after a semicolon; EPERM brings its own. */
export function systemError(what: string, errno: number, hint?: string): DatapathError {
  const advice = hint ?? (errno === os.constants.errno.EPERM || errno === os.constants.errno.EACCES ? 'run as root, in a privileged container' : undefined)
  return new DatapathError(`${what}: ${errnoName(errno)}${advice === undefined ? '' : `; ${advice}`}`, { errno })
}

/** Something the datapath needs and the kernel refused when it was tried. */
export interface MissingFeature {
  /** `qdisc clsact`, `BPF helper skb_load_bytes`. */
  readonly feature: string
  /** What was asked of the kernel, and its answer: `RTM_NEWQDISC: ENOENT`. */
  readonly answer: string
  /** Linux version that brought it; undefined when it isn't known here. */
  readonly since: string | undefined
  /** Parts of the datapath that need it: `from_container, lb4`. */
  readonly usedBy?: readonly string[]
  /** What brings it, or does without: `needs CONFIG_VXLAN`. */
  readonly advice?: string
}

/** `qdisc clsact: not supported by this kernel (RTM_NEWQDISC: ENOENT); came with 4.5`: what is missing, the kernel's own answer, and where it is found. */
export function missingLine({ feature, answer, since, usedBy, advice }: MissingFeature): string {
  const used = usedBy === undefined ? '' : `; needed by ${usedBy.join(', ')}`
  return `${feature}: not supported by this kernel (${answer})${since === undefined ? '' : `; came with ${since}`}${used}${advice === undefined ? '' : `; ${advice}`}`
}

/** The kernel lacks what the datapath needs: the message has a line for each feature. */
export class KernelLacks extends DatapathError {
  readonly missing: readonly MissingFeature[]

  constructor(missing: readonly MissingFeature[]) {
    super(missing.map(missingLine).join('\n'))
    this.name = 'KernelLacks'
    this.missing = missing
  }
}
