/** Log lines that mean Cilium, or an agent made like it, is broken, whatever else it says. */
export const ciliumFatal: readonly string[] = [
  '^panic: ', 'POTENTIAL DEADLOCK:', '[Ss]egmentation fault', 'NACK received for version', 'RunInit: Command execution failed', 'level=fatal',
]

/** Command lines of a Cilium, or of an agent made like it, whose output explains its state. */
export const ciliumDumps: readonly (readonly string[])[] = [
  ['status'], ['status', '--verbose'], ['endpoint', 'list'], ['endpoint', 'list', '-o', 'json'], ['identity', 'list'], ['service', 'list'], ['policy', 'get'],
  ['bpf', 'tunnel', 'list'], ['bpf', 'lb', 'list'], ['bpf', 'ct', 'list', 'global'], ['bpf', 'endpoint', 'list'], ['bpf', 'ipcache', 'list'], ['bpf', 'policy', 'get', '--all'], ['config'],
]

/** Drops and traces decide; agent and l7 events tell why. Debug and capture messages would only fill the ring. */
export const ciliumMonitorTypes: readonly string[] = ['drop', 'trace', 'agent', 'l7'].flatMap((type) => ['--type', type])
