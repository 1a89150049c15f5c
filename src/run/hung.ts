import { KernelbedError } from '../core/errors.ts'
import type { StartedMachine } from '../machine/index.ts'

/**
 * When a later stage gave up, the cause may be a machine that hangs: then that is the error, with the console's last lines, and what the stage
 * saw is its cause. Answers the stage's own error when every machine still runs a command within 10 s.
 */
export async function blameHungMachine(machines: readonly StartedMachine[], error: unknown): Promise<unknown> {
  const hung = (await Promise.all(machines.map(async (machine) => ((await answers(machine)) ? [] : [machine])))).flat()
  const [first] = hung
  if (!first) return error
  return new KernelbedError(`${hung.map(({ name }) => name).join(', ')} stopped answering (no command over SSH within 10 s)`, {
    blame: 'guest kernel',
    details: `console of ${first.name}:\n${first.consoleTail(15)}`,
    hint: 'the guest kernel or the emulation hangs: run again; if it happens each time, the whole console is in the run folder',
    cause: error,
  })
}

const answers = (machine: StartedMachine): Promise<boolean> => machine.exec('true', { timeoutMs: 10_000 }).then(() => true, () => false)
