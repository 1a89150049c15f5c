import { closeSync, fstatSync, openSync, readSync } from 'node:fs'

/** How far a boot has come, from its serial console. */
export type BootPhase =
  | { readonly at: 'nothing' }
  | { readonly at: 'kernel' }
  /** `reached` is the last `kernelbed: …` line of the guest's init. */
  | { readonly at: 'init'; readonly reached: string }
  | { readonly at: 'panic'; readonly message: string }

const KERNEL_LINE = /^\[ *\d+\.\d+\]|^Linux version/m
// Printed by the guest's init; the kernel's own lines begin with a time.
const INIT_LINE = /^kernelbed: (.*)$/gm
const PANIC_LINE = /Kernel panic - not syncing: (.*)/

/**
 * How a kernel has measured its processor's clock (TSC) where its two timers contradict each other, in MHz; undefined where they agree. It takes the PIT's word then, which on a host that is too busy to emulate a PIT may be a tenth of the truth and
 * less: the guest's time runs that much too fast, and whatever it waits for is given up at once (arch/x86/kernel/tsc.c).
 */
export function contradictoryClock(text: string): { readonly taken: number; readonly other: number } | undefined {
  const [, taken, other] = /tsc: PIT calibration deviates from (?:PMTIMER|HPET): (\d+) (\d+)/.exec(text) ?? []
  return taken === undefined || other === undefined ? undefined : { taken: Math.round(Number(taken) / 1000), other: Math.round(Number(other) / 1000) }
}

/** Judges a console's text. A panic wins over everything. */
export function bootPhase(text: string): BootPhase {
  const panic = PANIC_LINE.exec(text)
  if (panic) return { at: 'panic', message: (panic[1] ?? '').trim() }
  const reached = [...text.matchAll(INIT_LINE)].at(-1)?.[1]
  if (reached !== undefined) return { at: 'init', reached: reached.trim() }
  return { at: KERNEL_LINE.test(text) ? 'kernel' : 'nothing' }
}

/** True once the guest's init has come to starting the SSH server. */
export const sshExpected = (text: string): boolean => /^kernelbed: ssh/m.test(text)

/** Reads a console file as it grows. */
export class ConsoleFile {
  readonly path: string
  text = ''
  #offset = 0

  constructor(path: string) {
    this.path = path
  }

  /** Takes in what is new; false when there is nothing. */
  poll(): boolean {
    const chunk = readFrom(this.path, this.#offset)
    if (chunk.length === 0) return false
    this.#offset += chunk.length
    this.text += chunk.toString('utf8').replaceAll('\r', '')
    return true
  }

  tail(lines: number): string {
    this.poll()
    return consoleLines(this.text, lines)
  }
}

/** Last lines without the terminal's control sequences that firmware prints. */
export function consoleLines(text: string, lines: number): string {
  return text.replace(/\x1b(\[[0-9;?]*[A-Za-z]|c)/g, '').trimEnd().split('\n').slice(-lines).join('\n')
}

function readFrom(path: string, offset: number): Buffer {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch {
    return Buffer.alloc(0)
  }
  try {
    const buffer = Buffer.alloc(Math.max(0, fstatSync(fd).size - offset))
    return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, offset))
  } finally {
    closeSync(fd)
  }
}
