import { AgentError, get } from './client.ts'
import { CommandError } from './command.ts'

/** Asks the agent; `prefix` is what Cilium says before the agent's refusal, which ends the command. */
export async function ask<T>(prefix: string, run: () => Promise<T>): Promise<T> {
  try { return await run() } catch (error) {
    if (error instanceof AgentError) throw new CommandError(`${prefix}: ${error.message}`)
    throw error
  }
}

export const fetch = <T>(path: string, prefix: string): Promise<T> => ask(prefix, () => get<T>(path))
