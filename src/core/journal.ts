import { appendFileSync } from 'node:fs'

/**
 * Appends one line to the run's list of commands (`commands.log`), which artefacts include. The file is named by KERNELBED_JOURNAL, so that
 * the suites' process writes to the same list; nothing is written when it is unset.
 */
export function journal(where: string, command: string, outcome: string): void {
  const file = process.env['KERNELBED_JOURNAL']
  if (!file) return
  try {
    appendFileSync(file, `${new Date().toISOString()} ${where}$ ${command.replaceAll('\n', '\\n').slice(0, 2000)}  # ${outcome.split('\n')[0]}\n`)
  } catch {
    // the list of commands is evidence, not a reason to fail
  }
}
