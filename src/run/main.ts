import { explain, KernelbedError } from '../core/errors.ts'

/** Runs an entry point: its exit code is the process's; an error is explained, never shown as a stack trace unless it is a defect of ours. */
export async function main(body: () => Promise<number>): Promise<void> {
  let code = 3
  // A terminal that was closed, or a reader that ended: the run still cleans up and writes its results.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)
  // What is waited for may be a child that does not keep this process alive; Node would end it with exit code 13.
  const alive = setInterval(() => undefined, 60_000)
  try {
    code = await body()
  } catch (error) {
    process.stderr.write(`${explain(error)}\n`)
    code = error instanceof KernelbedError ? error.exitCode : 3
  }
  clearInterval(alive)
  // What is left up by --keep has connections to this process, which would keep it alive.
  process.exit(code)
}
