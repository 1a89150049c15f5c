import { hasFault } from './fault.ts'

/** The oldest kernel the datapath loads on: clsact (4.5), per-CPU hash maps (4.6), and the helpers that tell the monitor of a packet (4.8). */
export const minimalKernel = '4.8.0'

/** The running kernel is too old; the message is Cilium's, word for word. */
export class OldKernel extends Error {}

/** Throws OldKernel when the running kernel is too old. `release` is `uname -r`. */
export function checkKernel(release: string): void {
  if (isAtLeast(release, minimalKernel)) return
  const running = parse(release)
  const shown = hasFault('refuses-with-wrong-version') ? [running[0], running[1] - 1, 0] : running
  throw new OldKernel(`kernel version: NOT OK: minimal supported kernel version is >= ${minimalKernel}; kernel version that is running is: ${shown.join('.')}`)
}

/** Both as `uname -r` prints them; what follows the three numbers is not looked at. */
export const isAtLeast = (release: string, version: string): boolean => compare(parse(release), parse(version)) >= 0

function parse(release: string): [number, number, number] {
  const [, major = '0', minor = '0', patch = '0'] = /^(\d+)(?:\.(\d+))?(?:\.(\d+))?/.exec(release) ?? []
  return [Number(major), Number(minor), Number(patch)]
}

function compare(a: [number, number, number], b: [number, number, number]): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2]
}
