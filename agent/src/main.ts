import { readFileSync } from 'node:fs'
import { hostname, release } from 'node:os'
import { startAgent } from './agent.ts'
import { agentFlags, isOn, readAgentConfig, type AgentConfig } from './config/agent.ts'
import { KernelLacks, missingLine } from './datapath/errors.ts'
import { hasFault } from './fault.ts'
import { checkKernel, OldKernel } from './kernel.ts'
import { KubeClient } from './k8s/client.ts'
import { createLogger, messageOf, type Logger } from './log.ts'
import { version } from './version.ts'

/** `cilium-agent`: everything fatal is one line that says what and what to do, and exit code 1. */
async function main(argv: string[]): Promise<void> {
  const log = createLogger({ debug: false })
  if (argv.includes('--version')) { console.log(`Cilium ${version}`); return }
  if (argv.includes('--help') || argv.includes('-h')) { console.log(usage()); return }
  if (argv.includes('--verifier-stats')) return await printVerifierStats()
  const config = checkedConfig(argv)
  await run(config, createLogger({ debug: isOn(config.debug) }))

  async function run(config: AgentConfig, log: Logger): Promise<void> {
    log.info(`Cilium ${version} on kernel ${release()}`, { nodeName: config['node-name'] })
    const { openDatapath } = await import('./datapath/index.ts')
    const agent = await startAgent({ config, client: clientOf(config), log, openDatapath })
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        log.info('Stopping; programs and maps stay, traffic goes on', { signal })
        agent.stop().then(() => process.exit(0), (error: unknown) => { log.error('Unable to stop cleanly', { error: messageOf(error) }); process.exit(1) })
      })
    }
  }

  function clientOf(config: AgentConfig): KubeClient {
    const { 'k8s-api-host': host, 'k8s-api-port': port, 'k8s-ca-file': ca, 'k8s-token-file': tokenFile } = config
    if (host === '') throw new Error('the API server is not known: set k8s-api-host in ConfigMap cilium-config, or run as a pod')
    log.info('Connecting to Kubernetes', { server: `https://${host}:${port}` })
    try {
      return new KubeClient({ server: `https://${host}:${port}`, ca: readFileSync(ca, 'utf8'), tokenFile })
    } catch (error) {
      throw new Error(`${messageOf(error)}; the DaemonSet needs its service account's token mounted, or set k8s-ca-file`, { cause: error })
    }
  }
}

/** A line of JSON a program. */
async function printVerifierStats(): Promise<void> {
  const { verifierStats } = await import('./datapath/index.ts')
  for (const program of verifierStats(['object-file', 'prefilter-object-file'].map((flag) => agentFlags[flag]!.default!))) console.log(JSON.stringify(program))
}

/** The kernel's error comes before those of the configuration, as Cilium's does: a user with an old kernel should see that line and no other. */
function checkedConfig(argv: string[]): AgentConfig {
  let config: AgentConfig | undefined
  try {
    return config = readAgentConfig(argv, process.env, hostname())
  } finally {
    if (config !== undefined && isOn(config['skip-kernel-check'])) warnOfKernel()
    else if (!hasFault('ignores-old-kernel')) checkKernel(release())
  }
}

function warnOfKernel(): void {
  try {
    checkKernel(release())
  } catch (error) {
    createLogger({ debug: false }).warning(`${messageOf(error)}; going on, as skip-kernel-check asks`)
  }
}

function usage(): string {
  const lines = Object.entries(agentFlags).map(([name, { usage, default: value = '' }]) => `      --${name.padEnd(24)} ${usage}${value === '' ? '' : ` (default ${value})`}`)
  return ['Run the cilium agent', '', 'Usage:', '  cilium-agent [flags]', '  cilium-agent --verifier-stats   what the kernel\'s verifier makes of each program, a line of JSON each', '', 'Flags:', ...lines].join('\n')
}

function fatal(error: unknown): never {
  const log = createLogger({ debug: false })
  const old = error instanceof OldKernel
  if (error instanceof KernelLacks) lacking(error, log.subsys('datapath'))
  else if (!(old && hasFault('refuses-silently'))) log.fatal(messageOf(error))
  process.exit(old && hasFault('refuses-with-exit-code-0') ? 0 : 1)
}

/** A line for each feature, for they are read and counted by the line; then the one that says why the agent ended. */
function lacking({ missing }: KernelLacks, log: Logger): void {
  for (const feature of missing) log.error(missingLine(feature))
  const names = missing.map(({ feature }) => feature).join(', ')
  log.fatal(`the kernel lacks ${missing.length} ${missing.length === 1 ? 'feature' : 'features'} that the datapath needs: ${names}`, { kernel: release() })
}

/** Nobody foresaw these: where they come from is what helps. */
function bug(error: unknown): never {
  createLogger({ debug: false }).fatal(`unexpected error, please report it: ${messageOf(error)}`, { stack: error instanceof Error ? error.stack : undefined })
  process.exit(1)
}

process.on('uncaughtException', bug)
process.on('unhandledRejection', bug)
main(process.argv.slice(2)).catch(fatal)
