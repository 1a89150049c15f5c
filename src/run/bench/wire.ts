import { join } from 'node:path'
import type { Context } from '../../core/context.ts'
import { KernelbedError } from '../../core/errors.ts'
import { waitFor } from '../../core/wait.ts'
import { ensureBootFiles, ensureGuestImage, ensureKubernetes } from '../../image/index.ts'
import type { Kernel } from '../../kernels/index.ts'
import { chooseAccel, launchMachine, qemuOf, waitForGuest, type MachineSpec, type StartedMachine } from '../../machine/index.ts'
import { startWire } from '../../wire/index.ts'
import type { Comparison } from './compare.ts'

const pings = 200
const megabytes = 32
const port = 5001

interface Pair { readonly from: StartedMachine; readonly to: StartedMachine }

/**
 * Two machines on the wire, with a capture running as in every run, beside two whose network cards QEMU connects by a socket: round trip and stream through each.
 * All four are up throughout, and idle while they aren't measured.
 */
export async function wireComparison(kernel: Kernel, ctx: Context): Promise<Comparison> {
  const image = await ensureGuestImage(await ensureKubernetes(undefined, ctx), ctx)
  const [boot, accel] = [await ensureBootFiles(kernel, ctx), await chooseAccel(ctx, kernel)]
  const launch = (name: string, index: number, more: Partial<MachineSpec> = {}): Promise<StartedMachine> =>
    launchMachine({ name, index, kernel, image, boot, memoryMiB: 512, cpus: 1, wireSocket: join(ctx.sockets, `${name}.wire`), ...more }, accel, ctx)
  const wire = await startWire(ctx)
  await wire.capture(join(ctx.dir, 'wire.pcap'))
  const switched = { from: await launch('wire1', 1), to: await launch('wire2', 2) }
  for (const { name, handle } of [switched.from, switched.to]) await wire.attach(name, qemuOf(handle).wireSocket)
  const listening = await launch('direct1', 1)
  const direct = { from: listening, to: await launch('direct2', 2, { wirePeer: qemuOf(listening.handle).wireSocket }) }
  for (const pair of [switched, direct]) await reachable(pair, ctx)
  return {
    metrics: [
      { name: `round trip of a ping between machines on ${kernel.release} (${accel}), median of ${pings}`, unit: 'ms', better: 'less', digits: 3 },
      { name: `a TCP stream of ${megabytes} MiB`, unit: 'Mbit/s', better: 'more', digits: 1 },
    ],
    sides: [{ name: 'kernelbed\'s wire, captured', measure: () => measure(switched, ctx) }, { name: 'a direct socket', measure: () => measure(direct, ctx) }],
  }
}

async function reachable({ from, to }: Pair, ctx: Context): Promise<void> {
  await Promise.all([from, to].map((machine) => waitForGuest(machine, ctx)))
  await waitFor({ name: `${from.name} to reach ${to.name}`, timeoutMs: 30_000, signal: ctx.signal, blame: 'host' }, async () => {
    const { exitCode, stdout } = await from.exec(`busybox ping -c 1 -W 1 ${to.handle.address}`, { allowFailure: true })
    return exitCode === 0 ? { done: undefined } : { seen: stdout.trimEnd().split('\n').at(-1) ?? '' }
  })
}

async function measure({ from, to }: Pair, ctx: Context): Promise<number[]> {
  const { stdout } = await from.exec(`busybox ping -c ${pings} -i 0.02 ${to.handle.address}`)
  return [medianOf(stdout, from.name), await stream(from, to, ctx)]
}

/** Median of busybox ping's `time=0.512 ms`. */
function medianOf(output: string, machine: string): number {
  const times = [...output.matchAll(/time=([\d.]+) ms/g)].map(([, time]) => Number(time)).sort((a, b) => a - b)
  const middle = times[times.length >> 1]
  if (middle === undefined) throw new KernelbedError(`no ping of ${machine} came back`, { blame: 'host', details: output.slice(-500) })
  return middle
}

/** Megabits a second from the first byte sent to the end of the connection. */
async function stream(from: StartedMachine, to: StartedMachine, ctx: Context): Promise<number> {
  const sink = await to.stream(`busybox nc -l -p ${port} > /dev/null`)
  await waitFor({ name: `${to.name} to listen`, timeoutMs: 20_000, signal: ctx.signal, blame: 'host' }, async () => {
    const { stdout } = await to.exec(`grep -ci ':${port.toString(16).padStart(4, '0')} 0*:0000 0A' /proc/net/tcp /proc/net/tcp6`, { allowFailure: true })
    return /:[1-9]/.test(stdout) ? { done: undefined } : { seen: stdout.trim() }
  })
  const start = performance.now()
  await from.exec(`busybox dd if=/dev/zero bs=64k count=${megabytes * 16} 2> /dev/null | busybox nc ${to.handle.address} ${port}`)
  await sink.done
  return (megabytes * 2 ** 20 * 8) / 1e6 / ((performance.now() - start) / 1000)
}
