import { readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import { checkAgentOptions, defaultAgent, driverSpec, loadDriver, type AgentOptions } from '../agent/index.ts'
import { didYouMean } from '../core/closest.ts'
import { usageError } from '../core/errors.ts'
import { checkKubernetesSpec } from '../image/index.ts'
import { catalogueNames, type KernelOptions } from '../kernels/index.ts'
import type { Accel } from '../machine/types.ts'
import { checkFoundAgent, existingOptions, type ExistingOptions } from './existing-options.ts'
import { engineFlags, kubernetesOptions, type KubernetesEngineOptions, type RawEngineOptions } from './engine/engine-options.ts'
import { checkMixed, checkSuites } from './expectation.ts'
import { parseFlags } from './flags.ts'
import { nameOf, planCells, type PlannedCell } from './matrix-plan.ts'
import { projectDir } from './places.ts'

/** What `npm run e2e` was asked to do; every name in it is known to exist. */
export interface E2eOptions {
  /** What to run on, in the order of results. */
  readonly cells: readonly PlannedCell[]
  /** Cells side by side; absent: as many as the host has room for. */
  readonly jobs?: number
  readonly modules?: string
  /** Kernels that no known key signs are taken, recorded, and held to from then on. */
  readonly trustOnFirstUse: boolean
  /** Name of a driver, or the whole path of its file. */
  readonly agent: string
  /** Manifests, image tars (whole paths; manifests may be URLs) and settings of the agent. */
  readonly agentGiven?: Pick<AgentOptions, 'manifests' | 'images' | 'settings'>
  /** Seeded fault of the agent, when its driver knows any. */
  readonly fault?: string
  /** Version, folder, or absent for Debian's 1.20.2. */
  readonly kubernetes?: string
  /** Suites to run, names without `.test.ts`; empty = all. */
  readonly suites: readonly string[]
  /** Only tests whose name matches this pattern. */
  readonly test?: string
  /** Stop the suites at the first test that failed by what the agent did. */
  readonly bail?: boolean
  readonly nodes: number
  /** Kernel of each machine, when they differ; `cells` is then one. */
  readonly mixed?: readonly string[]
  /** Begin from a saved cluster, or save one. */
  readonly snapshot: boolean
  readonly memoryMiB: number
  /** Of each machine; absent: what suits its acceleration. */
  readonly cpus?: number
  readonly accel?: Accel
  readonly keep: boolean
  /** Who makes the machines: kernelbed itself, or Vagrant. */
  readonly provider: Provider
  /** A cluster that somebody else made, with its agent; `cells` is then one, and nothing is started. */
  readonly existing?: ExistingOptions
  /** Fill the cache, and run nothing. */
  readonly prepareOnly?: boolean
  /** The cluster that the cells run on; absent: they run here. */
  readonly kubernetesEngine?: KubernetesEngineOptions
}

/** The one cell of a cluster whose machines have different kernels. */
function mixedCell(kernels: readonly string[], suites: readonly string[], known: readonly string[], options: KernelOptions): PlannedCell {
  const names = kernels.map((kernel) => nameOf(kernel, options))
  checkMixed(kernels, options)
  checkSuites(suites, known, kernels, options)
  return { name: new Set(kernels).size > 1 ? names.join('+') : names[0]!, kernel: kernels.join(',') }
}

/** Names of the suites there are. */
export const suiteNames = (): string[] =>
  readdirSync(join(projectDir, 'suites')).filter((file) => file.endsWith('.test.ts')).map((file) => file.replace(/\.test\.ts$/, '')).sort()

/** For flags that may be repeated, or hold several values split by commas. */
export const collect = (value: string, previous: string[]): string[] => [...previous, ...value.split(',').map((part) => part.trim()).filter(Boolean)]

/** Paths may hold commas. */
const collectWhole = (value: string, previous: string[]): string[] => [...previous, value]

const isUrl = (text: string): boolean => /^https?:/.test(text)

/** What the user gives for the agent, as it means the same in every folder. */
function givenOf({ agentManifests, agentImage, agentOption }: { agentManifests: readonly string[]; agentImage: readonly string[]; agentOption: readonly string[] }): NonNullable<E2eOptions['agentGiven']> {
  const settings = agentOption.map((text) => {
    const at = text.indexOf('=')
    if (at < 1) throw usageError(`--agent-option ${text}: takes name=value`)
    return [text.slice(0, at), text.slice(at + 1)] as const
  })
  return {
    ...(agentManifests.length ? { manifests: agentManifests.map((source) => (isUrl(source) ? source : resolve(source))) } : {}),
    ...(agentImage.length ? { images: agentImage.map((path) => resolve(path)) } : {}),
    ...(settings.length ? { settings: Object.fromEntries(settings) } : {}),
  }
}

/** What the options ask of the agent, whatever the kernel is. */
export const agentOptionsOf = ({ fault, agentGiven }: Pick<E2eOptions, 'fault' | 'agentGiven'>): AgentOptions => ({ ...agentGiven, ...(fault === undefined ? {} : { fault }) })

const whole = (min: number, max: number) => (value: string): number => {
  const n = Number(value)
  if (!Number.isInteger(n) || n < min || n > max) throw new InvalidArgumentError(`takes a whole number from ${min} to ${max}.`)
  return n
}

/** Who makes machines. */
export const providers = ['qemu', 'vagrant'] as const
export type Provider = (typeof providers)[number]

const MOST_NODES = 9

/** `3`, or `4.9,6.1`: a number alone counts machines. */
function nodesOption(value: string): number | readonly string[] {
  if (/^-?\d*$/.test(value)) return whole(1, MOST_NODES)(value)
  const kernels = collect(value, [])
  if (kernels.length === 1 && /^[a-z]+$/i.test(value) && !catalogueNames.includes(value)) throw new InvalidArgumentError(`takes a whole number from 1 to ${MOST_NODES}, or the kernel of each machine: 4.9,6.1.`)
  if (kernels.length < 1 || kernels.length > MOST_NODES) throw new InvalidArgumentError(`takes 1 to ${MOST_NODES} kernels.`)
  return kernels
}

/** The flags of `npm run e2e`, which `npm run matrix` and `bisect` take too. `stray`: words that are no flags are the caller's; `fault`: false where the caller has a flag of that name. */
export function e2eFlags(program: Command, { stray = false, fault = true } = {}): Command {
  if (fault) program.option('--fault <name>', 'build the agent with one seeded fault')
  return engineFlags(program)
    .option('--kernel <name|path>', 'catalogue line (6.1), a path (bzImage, vmlinux, .deb, kernel build), name=path, or all; repeatable', collect, [])
    .option('--modules <dir>', "the given kernel's lib/modules/<release> folder, or its package")
    .option('--trust-on-first-use', 'take a kernel that no known key signs, record its digest, and hold its source to it', false)
    .option('--agent <name|file>', 'agent driver: a name, or a file of your own (./my-driver.ts)', defaultAgent)
    .option('--agent-manifests <file|dir|url>', "the agent's manifests, plain or rendered by Helm; repeatable", collectWhole, [])
    .option('--agent-image <tar>', 'a container image of the agent, by docker save or as OCI layout; repeatable', collectWhole, [])
    .option('--agent-option <name=value>', 'a setting that the driver knows; repeatable', collectWhole, [])
    .option('--kubernetes <version|dir>', "Kubernetes release or folder of binaries (default: Debian's 1.20.2, built once)")
    .option('--suite <name>', 'run only this suite; repeatable', collect, [])
    .option('-t, --test <pattern>', 'run only tests whose name matches')
    .option('--bail', 'end the suites with the first test that failed by what the agent did', false)
    .option('--nodes <n|kernels>', 'number of machines, or a kernel for each: 4.9,6.1', nodesOption, 2)
    .option('--no-snapshot', 'boot, and save nothing, where a saved cluster would do')
    .option('--memory <MiB>', 'memory of a machine, more where the agent needs it', whole(512, 65536), 1536)
    .option('--cpus <n>', 'CPUs of a machine (default: 2 under KVM, 1 emulated)', whole(1, 16))
    .addOption(new Option('--accel <kind>', 'force acceleration instead of probing').choices(['kvm', 'tcg']))
    .addOption(new Option('--provider <name>', 'who makes the machines: kernelbed by QEMU, or Vagrant by libvirt').choices(providers).default('qemu'))
    .option('--jobs <n>', 'kernels side by side (default: as cores and free memory allow)', whole(1, 64))
    .option('--cluster <kind>', 'existing: a cluster that somebody else made, with its agent')
    .option('--context <name>', "of the kubeconfig (default: its current one)")
    .option('--ssh-config <file>', 'of hosts among its nodes, as ssh_config(5)')
    .option('--workload-image <ref>', 'what the suites deploy, as its nodes have or can pull it')
    .option('--agent-namespace <name>', "where the agent's pods are, when not where its driver says")
    .option('--prepare-only', 'fetch and build all that the run needs into the cache, and start no machine', false)
    .option('--keep', 'leave the cluster up (npm run shell, kubectl, down)', false)
    .allowExcessArguments(stray)
}

/**
 * Parses the command line. Throws KernelbedError (usage, exit 2) for an unknown flag, kernel, suite, agent or fault, naming the nearest
 * known one; nothing has been started then. Returns undefined when help was asked for.
 */
export async function parseE2e(argv: readonly string[]): Promise<E2eOptions | undefined> {
  const program = new Command('npm run e2e --').description('Boots machines on a kernel, brings up Kubernetes and the agent, runs the suites, and reports.')
  const parsed = parseFlags(e2eFlags(program), argv)
  return parsed && e2eOptions(parsed, ['6.1'], { foreign: true })
}

/** Checked options of parsed flags. `kernels` are those to run on when none is named; `foreign`: a cluster that somebody else made will do. */
export async function e2eOptions(parsed: Command, kernels: readonly string[], { foreign = false } = {}): Promise<E2eOptions> {
  const { fault: asked, ...raw } = parsed.opts<{ kernel: string[]; modules?: string; trustOnFirstUse: boolean; agent: string; agentManifests: string[]; agentImage: string[]; agentOption: string[]; fault?: string | string[]; kubernetes?: string; suite: string[]; test?: string; bail: boolean; nodes: number | readonly string[]; snapshot: boolean; memory: number; cpus?: number; accel?: Accel; jobs?: number; prepareOnly: boolean; keep: boolean; provider: Provider } & RawEngineOptions>()
  const fault = typeof asked === 'string' ? asked : undefined
  const existing = existingOptions(parsed)
  if (existing && !foreign) throw usageError('--cluster existing has its own kernels, so there is nothing to go through', 'npm run e2e -- --cluster existing … runs the suites on it')
  const mixed = typeof raw.nodes === 'number' ? undefined : raw.nodes
  if (mixed && raw.kernel.length) throw usageError('--nodes names the kernels, and so does --kernel', 'give --nodes a number, or leave --kernel out')
  const kernelOptions = raw.modules === undefined ? {} : { modules: raw.modules }
  const known = suiteNames()
  for (const suite of raw.suite) if (!known.includes(suite)) throw usageError(`unknown suite "${suite}"${didYouMean(suite, known)}`, `suites: ${known.join(', ')}`)
  const cells = existing ? [{ name: 'existing', kernel: 'existing' }] : mixed ? [mixedCell(mixed, raw.suite, known, kernelOptions)] : planCells(raw.kernel.length ? raw.kernel : kernels, kernelOptions, (kernel) => checkSuites(raw.suite, known, [kernel], kernelOptions))
  const given = givenOf(raw)
  const driver = await loadDriver(raw.agent)
  if (existing) await checkFoundAgent(raw.agent, given)
  else checkAgentOptions(driver, { ...given, ...(fault === undefined ? {} : { fault }) })
  checkKubernetesSpec(raw.kubernetes)
  if (raw.prepareOnly && raw.keep) throw usageError('--prepare-only starts no cluster that --keep could leave up', 'leave one of them out')
  const kubernetesEngine = existing ? undefined : kubernetesOptions(raw)
  if (kubernetesEngine && raw.provider !== 'qemu') throw usageError(`--provider ${raw.provider} is about this host, and --engine kubernetes runs nothing here`, 'leave one of them out')
  if (kubernetesEngine && (raw.keep || raw.prepareOnly)) throw usageError(`--${raw.keep ? 'keep' : 'prepare-only'} is about this host, and --engine kubernetes runs nothing here`, 'leave one of them out')
  return {
    cells,
    agent: driverSpec(raw.agent),
    ...(Object.keys(given).length ? { agentGiven: given } : {}),
    suites: raw.suite,
    nodes: typeof raw.nodes === 'number' ? raw.nodes : raw.nodes.length,
    ...(mixed ? { mixed } : {}),
    snapshot: raw.snapshot,
    memoryMiB: parsed.getOptionValueSource('memory') === 'default' ? Math.max(raw.memory, driver.memoryMiB ?? 0) : raw.memory,
    ...(raw.cpus === undefined ? {} : { cpus: raw.cpus }),
    keep: raw.keep,
    provider: raw.provider,
    ...(existing ? { existing } : {}),
    ...(raw.prepareOnly ? { prepareOnly: true } : {}),
    trustOnFirstUse: raw.trustOnFirstUse,
    ...(raw.modules === undefined ? {} : { modules: raw.modules }),
    ...(fault === undefined ? {} : { fault }),
    ...(raw.kubernetes === undefined ? {} : { kubernetes: raw.kubernetes }),
    ...(raw.test === undefined ? {} : { test: raw.test }),
    ...(raw.bail ? { bail: true } : {}),
    ...(raw.jobs === undefined ? {} : { jobs: raw.jobs }),
    ...(raw.accel === undefined ? {} : { accel: raw.accel }),
    ...(kubernetesEngine ? { kubernetesEngine } : {}),
  }
}
