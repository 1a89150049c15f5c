import { renameSync, rmSync } from 'node:fs'
import type { Client } from 'ssh2'
import { KernelbedError } from '../core/errors.ts'
import { startService, type Service, type ServiceSpec } from '../core/service.ts'
import { waitFor } from '../core/wait.ts'
import { ConsoleFile, bootPhase, contradictoryClock, sshExpected } from './console.ts'
import { connectSsh } from './ssh-connect.ts'
import { SshSession } from './ssh-session.ts'
import { cpuSecondsOf } from './process-cpu.ts'
import type { Context } from '../core/context.ts'
import type { MachineHandle } from './types.ts'

export interface BootPlan {
  readonly name: string
  readonly ssh: MachineHandle['ssh']
  readonly consoleFile: string
  readonly qemu: ServiceSpec
  /** Removed before each try. */
  readonly sockets: readonly string[]
  /** As long as QEMU has had less than STARVED_CPU_S of processor time by then, the host is to blame, and it gets STARVED_FACTOR times as long. */
  readonly deadlineMs: number
  /** A console silent for so long, in a machine that idles or spins, is a boot that hangs. */
  readonly silenceMs: number
}

export interface Booted { readonly service: Service; readonly session: SshSession; readonly bootMs: number }

/** Without a word from the guest's init, SSH is tried this often all the same. */
const BLIND_TRY_MS = 2000
/** A connection made before the guest's network was up may never get an answer; on a busy host an answer takes long. So: short first, then longer. */
const FIRST_BANNER_MS = 1500
const CONSOLE_LINES = 20
/** A boot under TCG takes 3–6 s of processor time. */
const STARVED_CPU_S = 20
const STARVED_FACTOR = 3

/** A boot failed. `hung`: it made no progress, or has a wrong idea of time, which one boot in about a hundred does for no reason of its own. */
export class BootError extends KernelbedError {
  readonly hung: boolean

  constructor(message: string, details: ConstructorParameters<typeof KernelbedError>[1] & { hung?: boolean }) {
    super(message, details)
    this.hung = details.hung ?? false
  }
}

/** Boots a machine; one that hangs is booted once more, with a note. Throws BootError, which names the phase and whom to blame. */
export async function bootMachine(plan: BootPlan, ctx: Context, onPhase: (phase: string) => void): Promise<Booted> {
  try {
    return await bootOnce(plan, ctx, onPhase)
  } catch (error) {
    if (!(error instanceof BootError) || !error.hung || ctx.signal.aborted) throw error
    const kept = `${plan.consoleFile}.first`
    renameIfThere(plan.consoleFile, kept)
    ctx.progress.note(`${error.message}; booting it once more (console of the first try: ${kept})`)
    return bootOnce(plan, ctx, onPhase)
  }
}

async function bootOnce(plan: BootPlan, ctx: Context, onPhase: (phase: string) => void): Promise<Booted> {
  for (const socket of plan.sockets) rmSync(socket, { force: true })
  const start = performance.now()
  const service = await startService(ctx.registry, plan.qemu)
  try {
    const client = await waitForSsh(plan, service, ctx, start, onPhase)
    const session = new SshSession(plan.ssh, client)
    const first = await session.start('true')
    first.stdout.resume()
    first.stdin.end()
    await first.done
    return { service, session, bootMs: performance.now() - start }
  } catch (error) {
    await service.stop()
    throw error
  }
}

async function waitForSsh(plan: BootPlan, service: Service, ctx: Context, start: number, onPhase: (phase: string) => void): Promise<Client> {
  const console = new ConsoleFile(plan.consoleFile)
  const watch = new BootWatch(plan, service.pid, start)
  const tries = new SshTries(plan.ssh, ctx.signal)
  try {
    return await waitFor({ name: `${plan.name} to answer SSH`, timeoutMs: plan.deadlineMs * STARVED_FACTOR + 5000, intervalMs: 20, signal: ctx.signal }, async () => {
      const alive = service.alive
      if (console.poll()) watch.output()
      const phase = bootPhase(console.text)
      const seen = phase.at === 'init' ? `init: ${phase.reached}` : phase.at
      onPhase(seen)
      if (!alive || phase.at === 'panic') throw endedError(plan, service, console)
      const clock = contradictoryClock(console.text)
      if (clock) throw new BootError(`${plan.name}: the kernel took its processor for one of ${clock.taken} MHz by one timer, of ${clock.other} by another, so its time is wrong`, { blame: 'host', hung: true, details: console.tail(CONSOLE_LINES), hint: 'the host was too busy to emulate a timer: run again when it is less so' })
      const client = tries.take()
      if (client) return { done: client }
      tries.tryWhen(sshExpected(console.text), phase.at !== 'nothing')
      const stuck = watch.stuck()
      if (stuck) throw stuckError(plan, console, stuck, tries.lastError)
      return { seen }
    })
  } finally {
    tries.stop()
  }
}

interface Stuck { readonly hung: boolean; readonly how: string }

/**
 * Tells a boot that hangs from one that the host starves. Both are silent; but a hung machine idles (hardly any processor time) or spins (all that
 * its silence lasted), while a starved one goes on at the host's pace.
 */
export class BootWatch {
  readonly #plan: Pick<BootPlan, 'deadlineMs' | 'silenceMs'>
  readonly #cpuSeconds: () => number
  readonly #start: number
  #lastOutput: number
  #cpuAtOutput = 0

  constructor(plan: Pick<BootPlan, 'deadlineMs' | 'silenceMs'>, pid: number, start: number, cpuSeconds: () => number = () => cpuSecondsOf(pid)) {
    this.#plan = plan
    this.#cpuSeconds = cpuSeconds
    this.#start = start
    this.#lastOutput = start
  }

  output(): void {
    this.#lastOutput = performance.now()
    this.#cpuAtOutput = this.#cpuSeconds()
  }

  /** Undefined while there is hope. */
  stuck(now: number = performance.now()): Stuck | undefined {
    const silentMs = now - this.#lastOutput
    const elapsedMs = now - this.#start
    if (silentMs > this.#plan.silenceMs) {
      const share = (this.#cpuSeconds() - this.#cpuAtOutput) / (silentMs / 1000)
      if (share < 0.03 || share > 0.9) return { hung: true, how: `nothing new for ${(silentMs / 1000).toFixed(0)} s, the machine ${share > 0.9 ? 'spins' : 'idles'}` }
    }
    if (elapsedMs <= this.#plan.deadlineMs) return undefined
    const cpu = this.#cpuSeconds()
    if (cpu < STARVED_CPU_S && elapsedMs <= this.#plan.deadlineMs * STARVED_FACTOR) return undefined
    return { hung: false, how: `deadline of ${(elapsedMs / 1000).toFixed(0)} s passed, ${cpu.toFixed(0)} s of processor time used` }
  }
}

/** One SSH attempt at a time, beside the watch on the console. */
class SshTries {
  readonly #ssh: MachineHandle['ssh']
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  #running = false
  #client: Client | undefined
  #lastMs = performance.now()
  #bannerMs = FIRST_BANNER_MS
  lastError = ''

  constructor(ssh: MachineHandle['ssh'], signal: AbortSignal) {
    this.#ssh = ssh
    this.#signal = AbortSignal.any([signal, this.#stop.signal])
  }

  tryWhen(expected: boolean, possible: boolean): void {
    if (this.#running || !(expected || (possible && performance.now() - this.#lastMs > BLIND_TRY_MS))) return
    this.#running = true
    connectSsh(this.#ssh, { bannerMs: this.#bannerMs, loginMs: 60_000, signal: this.#signal })
      .then(
        (client) => (this.#client = client),
        (error: unknown) => {
          this.lastError = error instanceof Error ? error.message : String(error)
          if (this.lastError.includes('banner')) this.#bannerMs = Math.min(this.#bannerMs * 2, 30_000)
        },
      )
      .finally(() => {
        this.#running = false
        this.#lastMs = performance.now()
        if (this.#stop.signal.aborted) this.#client?.destroy()
      })
  }

  take(): Client | undefined {
    const client = this.#client
    this.#client = undefined
    return client
  }

  stop(): void {
    this.#stop.abort()
    this.#client?.destroy()
  }
}

/** QEMU is gone, or the kernel has panicked. */
function endedError(plan: BootPlan, service: Service, console: ConsoleFile): BootError {
  const details = console.tail(CONSOLE_LINES)
  const phase = bootPhase(console.text)
  const stderr = service.logTail(10)
  if (phase.at === 'panic') return panicError(plan.name, phase.message, console)
  if (phase.at === 'nothing') return new BootError(`${plan.name}: QEMU did not start the machine`, { blame: 'hypervisor', details: stderr || 'QEMU printed nothing', hint: `its arguments are in ${plan.consoleFile.replace(/console\.log$/, 'qemu.args')}` })
  return new BootError(`${plan.name}: the machine reset or QEMU ended during boot, without a kernel panic`, { blame: stderr ? 'hypervisor' : 'guest kernel', details: [stderr, details].filter(Boolean).join('\n'), hint: `its whole console: ${plan.consoleFile}` })
}

/** A kernel that panicked as it booted, with the console's last lines. */
export const panicError = (name: string, message: string, console: ConsoleFile): BootError =>
  new BootError(`${name}: kernel panic: ${message}`, { blame: 'guest kernel', details: console.tail(CONSOLE_LINES), hint: panicHint(message) ?? `its whole console: ${console.path}` })

function panicHint(message: string): string | undefined {
  if (/Unable to mount root fs|root=/.test(message)) return 'the kernel has no driver for its disk: it needs CONFIG_VIRTIO_PCI, CONFIG_VIRTIO_BLK and CONFIG_EXT4_FS, built in or as modules (--modules DIR)'
  if (/No working init|Attempted to kill init/.test(message)) return 'the guest\'s init ended: the lines above the panic say why'
  return undefined
}

function stuckError(plan: BootPlan, console: ConsoleFile, { hung, how }: Stuck, lastTry: string): BootError {
  const phase = bootPhase(console.text)
  const details = console.tail(CONSOLE_LINES)
  const hint = hung ? `its whole console: ${plan.consoleFile}` : 'the host may be too busy'
  if (phase.at === 'nothing') return new BootError(`${plan.name}: no console output (${how})`, { blame: 'hypervisor', hung, details, hint: 'a kernel without CONFIG_SERIAL_8250_CONSOLE prints nothing; under KVM, try KERNELBED_ACCEL=tcg' })
  if (phase.at === 'init') return new BootError(`${plan.name}: init reached "${phase.reached}", no SSH (${how})${lastTry ? `: ${lastTry}` : ''}`, { blame: 'guest kernel', hung, details, hint })
  return new BootError(`${plan.name}: kernel up, init not reached (${how})`, { blame: 'guest kernel', hung, details, hint })
}

function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch {
    // QEMU never made it
  }
}
