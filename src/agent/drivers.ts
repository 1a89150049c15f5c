import { didYouMean } from '../core/closest.ts'
import { usageError } from '../core/errors.ts'
import type { AgentDriver } from './driver.ts'
import { lash } from './lash.ts'

const drivers: readonly AgentDriver[] = [lash]

/** Names for `--agent`. */
export const driverNames = (): readonly string[] => drivers.map(({ name }) => name)

/** The driver of a name. Throws a usage error that names the nearest one. */
export function findDriver(name: string): AgentDriver {
  const driver = drivers.find((candidate) => candidate.name === name)
  if (!driver) throw usageError(`unknown agent "${name}"${didYouMean(name, driverNames())}`, `agents: ${driverNames().join(', ')}`)
  return driver
}
