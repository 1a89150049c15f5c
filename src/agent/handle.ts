import { z } from 'zod'
import { capabilityNames, type Capabilities } from './capabilities.ts'

/** How the events of an agent are had. */
export interface MonitorForm {
  readonly form: 'json' | 'text'
  /** Arguments of its command line that print the drops and traces of its node, line after line. */
  readonly args: readonly string[]
}

/** Reaches an installed agent from another process, and says what suites need to know of it; JSON. */
export interface AgentHandle {
  /** As given to `--agent`: the name of a driver, or its file. */
  readonly driver: string
  readonly version?: string
  readonly namespace: string
  /** Label selector of the agent's pods, e.g. `k8s-app=cilium`. */
  readonly selector: string
  /** Container name of the agent inside its pods. */
  readonly container: string
  /** argv prefix of its command line inside the container: `['cilium']`. */
  readonly cli: readonly string[]
  readonly capabilities: Capabilities
  /** What packets of pods travel in between nodes, of an agent with the capability `tunnel`. */
  readonly tunnel?: 'vxlan' | 'geneve'
  /** Absent when it has none. */
  readonly monitor?: MonitorForm
  /** Where it serves its metrics, on every node. */
  readonly metrics?: { readonly port: number }
  /** A DaemonSet, in YAML, each of whose pods is ready once what the agent has put on its node is gone; of an agent with the capability `cleanup`. */
  readonly cleanup?: string
  /** Regular expressions, by their source, of log lines that mean it is broken, whatever else it says. */
  readonly fatal: readonly string[]
  /** Command lines (arguments of `cli`) whose output explains its state: run when a run fails. */
  readonly dumps: readonly (readonly string[])[]
  /** How much slower it is than an agent that compiles nothing: waits for what it does to pods and policies are this many times as long, and pods are made one after the other. Default 1. */
  readonly patience?: number
}

const capability = z.union([z.literal(true), z.string()])
const pattern = z.string().refine(isPattern, 'is no regular expression')

function isPattern(source: string): boolean {
  try {
    return new RegExp(source) instanceof RegExp
  } catch {
    return false
  }
}

/** An AgentHandle as it was saved. */
export const agentHandleSchema = z.object({
  driver: z.string(), version: z.string().exactOptional(), namespace: z.string().min(1), selector: z.string().min(1), container: z.string().min(1), cli: z.array(z.string()),
  capabilities: z.partialRecord(z.enum(capabilityNames), capability),
  tunnel: z.enum(['vxlan', 'geneve']).exactOptional(),
  monitor: z.object({ form: z.enum(['json', 'text']), args: z.array(z.string()) }).exactOptional(),
  metrics: z.object({ port: z.number() }).exactOptional(), cleanup: z.string().exactOptional(),
  fatal: z.array(pattern), dumps: z.array(z.array(z.string())), patience: z.number().positive().exactOptional(),
})

/** The lines of an agent's log that mean it is broken. */
export function fatalLines(log: string, { fatal }: Pick<AgentHandle, 'fatal'>): string[] {
  const patterns = fatal.map((source) => new RegExp(source))
  return log.split('\n').filter((line) => patterns.some((pattern) => pattern.test(line)))
}
