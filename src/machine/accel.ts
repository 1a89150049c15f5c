import { accessSync, constants, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { didYouMean } from '../core/closest.ts'
import { KernelbedError, usageError } from '../core/errors.ts'
import { inStep } from '../core/progress.ts'
import { startService } from '../core/service.ts'
import { waitFor } from '../core/wait.ts'
import { ConsoleFile, bootPhase } from './console.ts'
import { FAST_BOOT, qemuArgs, serialConsole } from './qemu.ts'
import type { Context } from '../core/context.ts'
import type { Kernel } from '../kernels/types.ts'
import type { Accel } from './types.ts'

/** Stock kernels that hang under a KVM that opens have printed nothing by then; working ones print within a tenth of a second. */
const FIRST_OUTPUT_MS = 4000
/** From the first output to the end of a boot without a root file system. */
const WHOLE_BOOT_MS = 15_000
const ACCELS = ['kvm', 'tcg'] as const
/** `lasting`: will be the same until the host boots again. A QEMU that ended may have had another reason. */
const Verdict = z.object({ works: z.boolean(), saw: z.string(), lasting: z.boolean() })
type Verdict = z.infer<typeof Verdict>

/**
 * KVM where a bounded probe boot of this kernel proves that it works, else TCG, with a note why. The verdict is kept in the cache until the host
 * boots again. `forced`, or the environment's KERNELBED_ACCEL (`tcg` or `kvm`), skips the probe. Throws a usage error for another value.
 */
export async function chooseAccel(ctx: Context, kernel: Kernel, forced: Accel | undefined = accelFromEnvironment()): Promise<Accel> {
  const missing = kvmMissing()
  if (forced === 'kvm' && missing !== undefined) throw new KernelbedError(`KVM was asked for, but ${missing}`, { blame: 'host', hint: 'unset KERNELBED_ACCEL, or set it to tcg' })
  if (forced !== undefined) return forced
  if (missing !== undefined) return noted(ctx, `no KVM (${missing})`)
  const verdict = recall(ctx, kernel) ?? (await inStep(ctx.progress, `does KVM boot ${kernel.name}?`, () => probe(ctx, kernel)))
  if (verdict.lasting) remember(ctx, kernel, verdict)
  return verdict.works ? 'kvm' : noted(ctx, `KVM opens but does not boot ${kernel.name} (${verdict.saw})`)
}

function noted(ctx: Context, why: string): Accel {
  ctx.progress.note(`${why}: using emulation (TCG)`)
  return 'tcg'
}

/** KERNELBED_ACCEL, checked. Throws a usage error. */
export function accelFromEnvironment(value: string | undefined = process.env['KERNELBED_ACCEL']): Accel | undefined {
  if (value === undefined || value === '') return undefined
  const accel = ACCELS.find((known) => known === value)
  if (!accel) throw usageError(`KERNELBED_ACCEL=${value}: unknown accelerator${didYouMean(value, ACCELS)}`, 'it is kvm, tcg, or unset to have it probed')
  return accel
}

function kvmMissing(): string | undefined {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK)
    return undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no /dev/kvm' : '/dev/kvm cannot be opened by this user'
  }
}

const verdictFile = (ctx: Context, kernel: Kernel): string => join(ctx.cache, 'accel', `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}-${kernel.digest}.json`)

function recall(ctx: Context, kernel: Kernel): Verdict | undefined {
  try {
    return Verdict.parse(JSON.parse(readFileSync(verdictFile(ctx, kernel), 'utf8')))
  } catch {
    return undefined
  }
}

function remember(ctx: Context, kernel: Kernel, verdict: Verdict): void {
  const file = verdictFile(ctx, kernel)
  mkdirSync(join(ctx.cache, 'accel'), { recursive: true })
  writeFileSync(`${file}.${process.pid}`, JSON.stringify(verdict))
  renameSync(`${file}.${process.pid}`, file)
}

/** Boots the kernel with no root file system: under a KVM that works it ends in the panic about that. */
async function probe(ctx: Context, kernel: Kernel): Promise<Verdict> {
  mkdirSync(ctx.dir, { recursive: true })
  const dir = mkdtempSync(join(ctx.dir, 'kvm-probe-'))
  const folder = ctx.registry.claim('KVM probe folder', () => rmSync(dir, { recursive: true, force: true }))
  folder.hold({ kind: 'path', path: dir })
  const console = new ConsoleFile(join(dir, 'console.log'))
  const args = qemuArgs({ name: 'kvm-probe', accel: 'kvm', cpus: 1, memoryMiB: 256, kernel: kernel.image, append: [...FAST_BOOT, 'earlyprintk=ttyS0'], devices: [serialConsole(console.path)] })
  const service = await startService(ctx.registry, { name: 'KVM probe', file: 'qemu-system-x86_64', args, logFile: join(dir, 'qemu.log'), graceMs: 0, blame: 'hypervisor' })
  const start = performance.now()
  try {
    return await waitFor({ name: 'the KVM probe', timeoutMs: FIRST_OUTPUT_MS + WHOLE_BOOT_MS + 5000, intervalMs: 20, signal: ctx.signal }, () => {
      const alive = service.alive
      console.poll()
      const verdict = judge(console.text, alive, performance.now() - start, () => service.logTail(10))
      return verdict ? { done: verdict } : { seen: bootPhase(console.text).at }
    })
  } finally {
    await service.stop()
    await folder.release()
  }
}

/** What a probe's console says so far; undefined while it is open. */
export function judge(text: string, alive: boolean, elapsedMs: number, stderr: () => string): Verdict | undefined {
  const phase = bootPhase(text)
  if (phase.at === 'panic' || phase.at === 'init') return { works: true, saw: 'it booted', lasting: true }
  if (!alive) return { works: false, saw: `QEMU ended: ${stderr().split('\n').filter((line) => !line.includes('warning:'))[0] || 'no message'}`, lasting: false }
  if (phase.at === 'nothing') return elapsedMs > FIRST_OUTPUT_MS ? { works: false, saw: `no console output in ${FIRST_OUTPUT_MS / 1000} s`, lasting: true } : undefined
  return elapsedMs > FIRST_OUTPUT_MS + WHOLE_BOOT_MS ? { works: false, saw: `the boot hung after: ${text.trimEnd().split('\n').at(-1) ?? ''}`, lasting: true } : undefined
}
