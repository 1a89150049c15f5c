import { usageError, KernelbedError } from '../core/errors.ts'
import type { Context } from '../core/context.ts'
import { availabilityOf, catalogue, catalogueNames, checkKernelSpec, describeSpec, type KernelOptions } from '../kernels/index.ts'

/** One kernel of a run. */
export interface PlannedCell {
  /** What results call it: `4.9`, `mine`. No two cells of a run have the same. */
  readonly name: string
  /** The `--kernel` value that repeats it. */
  readonly kernel: string
  /** What results call its kernel, where `name` is of something else. */
  readonly kernelName?: string
  /** Why it cannot be had; only of lines that `all` stands for. */
  readonly unavailable?: string
  /** One of the lines that `all` stands for: where no source has it, that is no error. */
  readonly optional?: boolean
}

/**
 * The cells that `--kernel` values ask for, each checked. `all` stands for every catalogue line that is not also named (`--kernel all --kernel 4.9=./bzImage`);
 * one of those that cannot be had, or that `check` refuses, is planned as unavailable. Throws a usage error for what was named and cannot be had, and for a name given twice.
 */
export function planCells(kernels: readonly string[], options: KernelOptions = {}, check: (kernel: string) => void = () => undefined): PlannedCell[] {
  const named = kernels.filter((spec) => spec !== 'all').map((kernel) => ({ name: nameOf(kernel, options), kernel }))
  for (const { kernel } of named) check(kernel)
  for (const [i, { name, kernel }] of named.entries()) {
    if (named.findIndex((other) => other.name === name) < i) throw usageError(`two kernels are called ${name}`, `give one of them a name of its own: --kernel ${name}-2=${kernel.replace(/^[^=]*=/, '')}`)
  }
  if (!kernels.includes('all')) return named
  if (options.modules !== undefined) throw usageError('--modules goes with kernel images of your own, not with "all"', 'run the image alone: --kernel mine=./bzImage --modules DIR')
  const lines = catalogueNames.filter((name) => !named.some((cell) => cell.name === name)).map((name) => catalogueCell(name, check))
  const order = (name: string): number => (catalogueNames.includes(name) ? catalogueNames.indexOf(name) : catalogueNames.length)
  return [...lines, ...named].sort((a, b) => order(a.name) - order(b.name))
}

/** What results call the kernel of a `--kernel` value. Throws as checkKernelSpec does. */
export function nameOf(kernel: string, options: KernelOptions): string {
  return describeSpec(checkKernelSpec(kernel, options)).name
}

function catalogueCell(name: string, check: (kernel: string) => void): PlannedCell {
  try {
    checkKernelSpec(name)
    check(name)
    return { name, kernel: name, optional: true }
  } catch (error) {
    if (!(error instanceof KernelbedError)) throw error
    return { name, kernel: name, unavailable: [error.message, error.hint].filter(Boolean).join('; ') }
  }
}

/** Asks the sources of the lines that `all` stands for; those that none has are unavailable. Takes some seconds, 15 at most. */
export async function settleCells(cells: readonly PlannedCell[], ctx: Context): Promise<PlannedCell[]> {
  const asked = cells.filter((cell) => cell.optional === true && cell.unavailable === undefined)
  const found = await availabilityOf(catalogue.filter(({ name }) => asked.some((cell) => cell.kernel === name)), ctx)
  return cells.map((cell) => {
    const here = asked.includes(cell) ? found.get(cell.kernel) : undefined
    return here?.state === 'no' ? { ...cell, unavailable: here.why.join('; ') } : cell
  })
}

/** Folder of a cell within its matrix's folder. Names that differ give folders that differ. */
export function folderOf(cell: PlannedCell, cells: readonly PlannedCell[]): string {
  const plain = (name: string): string => name.replace(/[^\w.+-]/g, '_').replace(/^\.+/, '_')
  const same = cells.filter((other) => plain(other.name) === plain(cell.name))
  return same.length === 1 ? plain(cell.name) : `${plain(cell.name)}_${same.indexOf(cell) + 1}`
}
