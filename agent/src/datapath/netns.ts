/** Entering another network namespace for one synchronous stretch. */
import fs from 'node:fs'
import { DatapathError, systemError } from './errors.ts'
import { errno, setns, unshare } from './system.ts'

const CLONE_NEWNET = 0x40000000

/** Opens the namespace of a path for a synchronous stretch. */
export function withNetns<T>(path: string, run: (netns: number) => T): T {
  const netns = openNetns(path)
  try {
    return run(netns)
  } finally {
    fs.closeSync(netns)
  }
}

function openNetns(path: string): number {
  try {
    return fs.openSync(path, 'r')
  } catch (cause) {
    throw new DatapathError(`opening network namespace ${path}: is the pod's sandbox gone?`, { cause })
  }
}

/**
 * Runs inside the namespace of the descriptor. Only the calling (main) thread changes over, so `run` must be synchronous: anything
 * awaited would leave the event loop in the pod.
 */
export const inNetns = <T>(fd: number, run: () => T): T => away('entering a network namespace', () => setns(fd, CLONE_NEWNET), run)

/** Runs inside a namespace made for it, synchronously; what it makes there goes with it. */
export const inNewNetns = <T>(run: () => T): T => away('making a network namespace', () => unshare(CLONE_NEWNET), run)

function away<T>(what: string, leave: () => number, run: () => T): T {
  const home = fs.openSync('/proc/thread-self/ns/net', 'r')
  try {
    if (leave() < 0) throw systemError(what, errno())
    try {
      return run()
    } finally {
      // Without the way back every later step would hit the pod; there is no going on from that.
      if (setns(home, CLONE_NEWNET) < 0) throw systemError('returning from a network namespace', errno())
    }
  } finally {
    fs.closeSync(home)
  }
}
