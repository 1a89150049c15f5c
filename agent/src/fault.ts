/** Replaced by agent/build.ts with the name of the seeded fault (agent/faults.json), empty for none. */
declare const LASH_FAULT: string | undefined

/** Whether this agent was built with that fault. */
export const hasFault = (name: string): boolean => typeof LASH_FAULT === 'string' && LASH_FAULT === name
