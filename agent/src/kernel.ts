/** The oldest kernel the datapath loads on: clsact (4.5), per-CPU maps (4.6), direct packet access (4.7), and a verifier that follows it (4.8). */
export const minimalKernel = '4.8.0'

/** Throws with Cilium's exact words when the running kernel is too old. `release` is `uname -r`. */
export function checkKernel(release: string): void {
  const running = parse(release)
  if (compare(running, parse(minimalKernel)) >= 0) return
  throw new Error(`kernel version: NOT OK: minimal supported kernel version is >= ${minimalKernel}; kernel version that is running is: ${running.join('.')}`)
}

function parse(release: string): [number, number, number] {
  const [, major = '0', minor = '0', patch = '0'] = /^(\d+)(?:\.(\d+))?(?:\.(\d+))?/.exec(release) ?? []
  return [Number(major), Number(minor), Number(patch)]
}

function compare(a: [number, number, number], b: [number, number, number]): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2]
}
