import data from './faults.json' with { type: 'json' }

/** What lash does wrong, and the suites (suites/*.test.ts) of which one must catch it. */
export interface Fault { does: string; caughtBy: string[]; /** Of the agent (`--agent-option`), with which alone it shows. */ settings?: Record<string, string> }

/**
 * Faults that can be built into lash, to prove that the suites notice them: agent/faults.json, which the framework's driver reads too. Those of the datapath are defines of
 * agent/bpf (`wrong-vni` is -DFAULT_WRONG_VNI), those of the agent itself are asked for by name (src/fault.ts).
 */
export const faults: Readonly<Record<string, Fault>> = data

/** What the C compiler is told. */
export const defineOf = (fault: string): string => `-DFAULT_${fault.toUpperCase().replaceAll('-', '_')}`
