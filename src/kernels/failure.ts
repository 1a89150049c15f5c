import { KernelbedError } from '../core/errors.ts'

/** Anything but wrong use and our own defects: another source may have the kernel. */
export const isExpected = (error: unknown): boolean => (error instanceof AggregateError ? error.errors.every(isExpected) : error instanceof KernelbedError && error.blame !== 'usage')

/** Why a source did not give a kernel, in one line. */
export function tell(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(tell).join('; ')
  if (!(error instanceof KernelbedError)) return error instanceof Error ? error.message : String(error)
  const details = error.details?.trim().split('\n').slice(0, 4).map((line) => line.trim()).join('; ')
  return details ? `${error.message} (${details.slice(0, 300)})` : error.message
}
