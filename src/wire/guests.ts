import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Context } from '../core/context.ts'
import { KernelbedError } from '../core/errors.ts'
import { ensureGuestProgram } from '../image/index.ts'
import type { StartedMachine } from '../machine/index.ts'
import { CaptureFile } from './capture-file.ts'
import { CaptureFollower } from './capture-follower.ts'
import { GuestTap } from './guest-tap.ts'
import type { Capture, GuestsHandle, StartedWire, Wire } from './types.ts'

/** Where the program is in a guest. */
export const CAPTURE_PROGRAM = '/run/kb-capture'

/** Puts the program that captures into machines whose network is not ours. Throws KernelbedError. */
export async function startGuestWire(machines: readonly StartedMachine[], ctx: Context): Promise<StartedWire> {
  const program = await ensureGuestProgram('kb-capture', 'capture program', join(import.meta.dirname, 'guest'), ctx)
  await Promise.all(machines.map((machine) => machine.upload(program, CAPTURE_PROGRAM, 0o755)))
  return { ...attachGuests({ guests: machines.map(({ handle: { name, mac, ssh } }) => ({ name, mac, ssh })) }), stop: () => Promise.resolve() }
}

/** A network that only its machines see: each tells what it sends. */
export function attachGuests(handle: GuestsHandle): Wire {
  const refuse = (what: string) => (): Promise<never> => Promise.reject(new KernelbedError(`the network between the machines is not kernelbed's, so it cannot ${what}`, { blame: 'test', hint: 'run it on machines of kernelbed itself, without --provider' }))
  return {
    handle, attach: refuse('take another machine'), detach: refuse('let a machine go'), cut: refuse('be cut'), restore: refuse('be restored'), impair: refuse('be impaired'), stats: refuse('be counted'),
    capture: (file) => startCapture(handle, file),
  }
}

async function startCapture({ guests }: GuestsHandle, file: string): Promise<Capture> {
  mkdirSync(dirname(file), { recursive: true })
  const taps = guests.map(({ name, ssh }) => new GuestTap(name, ssh, `exec ${CAPTURE_PROGRAM} eth1`))
  const output = new CaptureFile(file)
  const follower = new CaptureFollower(file)
  // A frame comes from the machine whose card's address it has, as every machine is seen sending.
  follower.learnSources(Object.fromEntries(guests.map(({ name, mac }) => [mac, name])))
  let stopped: Promise<void> | undefined
  let writing: Promise<void> = Promise.resolve()
  const flush = async (): Promise<void> => {
    await Promise.all(taps.map((tap) => tap.flush()))
    writing = writing.then(() => write(taps, output))
    await writing
  }
  const end = async (): Promise<void> => {
    try {
      await flush()
    } finally {
      taps.forEach((tap) => tap.close())
      output.close()
    }
  }
  try {
    await Promise.all(taps.map((tap) => tap.start()))
  } catch (error) {
    taps.forEach((tap) => tap.close())
    output.close()
    throw error
  }
  return {
    file,
    stop: () => (stopped ??= end()),
    frames: async () => {
      await (stopped ?? flush())
      return follower.frames()
    },
  }
}

/** Moves what the taps have seen into the file, in the order of their times. */
function write(taps: readonly GuestTap[], output: CaptureFile): void {
  const records = taps.flatMap((tap) => tap.take()).sort((a, b) => (a.timeNs < b.timeNs ? -1 : a.timeNs > b.timeNs ? 1 : 0))
  for (const { timeNs, data } of records) output.record(Number(timeNs / 1_000_000_000n), Number(timeNs % 1_000_000_000n), data, 0, data.length)
  output.flush()
}
