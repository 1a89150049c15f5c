import { readFileSync } from 'node:fs'
import { KernelbedError } from '../core/errors.ts'
import type { MachineSpec } from './types.ts'

/** QEMU's own memory beside the guest's: translated code, buffers. */
const OVERHEAD_MIB = 128

/**
 * Throws a KernelbedError when the host hasn't the memory for all these machines together, whether by /proc/meminfo's MemAvailable or
 * by the limit of the control group we run in (a container).
 */
export function assertHostMemory(specs: readonly Pick<MachineSpec, 'name' | 'memoryMiB'>[], availableMiB: number = availableMemoryMiB()): void {
  const needed = specs.reduce((sum, spec) => sum + spec.memoryMiB + OVERHEAD_MIB, 0)
  if (needed <= availableMiB) return
  const names = specs.map((spec) => spec.name).join(', ')
  throw new KernelbedError(`not enough memory: ${names} need ${needed} MiB (${specs.map((spec) => spec.memoryMiB).join(' + ')} and ${OVERHEAD_MIB} each for QEMU), ${Math.floor(availableMiB)} MiB are available`, {
    blame: 'host',
    hint: 'end other programs, or ask for smaller machines',
  })
}

/** Memory that can be had without swapping, in MiB. */
export function availableMemoryMiB(read: (path: string) => string | undefined = readText): number {
  const available = Number(/^MemAvailable:\s+(\d+) kB/m.exec(read('/proc/meminfo') ?? '')?.[1] ?? Infinity) / 1024
  const limit = Number(read('/sys/fs/cgroup/memory.max') ?? NaN)
  const used = Number(read('/sys/fs/cgroup/memory.current') ?? NaN)
  return Number.isFinite(limit) && Number.isFinite(used) ? Math.min(available, (limit - used) / 2 ** 20) : available
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
