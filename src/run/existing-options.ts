import { resolve } from 'node:path'
import type { Command } from 'commander'
import { checkAgentOptions, driverSpec, foundBy, loadDriver, type AgentOptions } from '../agent/index.ts'
import { readKubeconfig } from '../cluster/index.ts'
import { didYouMean } from '../core/closest.ts'
import { usageError } from '../core/errors.ts'
import { workloadRef } from '../image/index.ts'
import { readSshConfig } from '../machine/index.ts'

/** A cluster that somebody else made, as `--cluster existing` names it. Paths are whole. */
export interface ExistingOptions {
  readonly kubeconfig: string
  /** Instead of the kubeconfig's current one. */
  readonly context?: string
  readonly sshConfig?: string
  /** Reference of the workload image, as its nodes have or can pull it. */
  readonly workloadImage: string
  /** Where the agent's pods are, when not where its driver says. */
  readonly agentNamespace?: string
}

/** Flags that speak of machines of ours, or of an agent that is installed. */
const ofOurs = ['kernel', 'modules', 'trustOnFirstUse', 'agentManifests', 'agentImage', 'fault', 'nodes', 'snapshot', 'memory', 'cpus', 'accel', 'jobs', 'keep', 'prepareOnly', 'engine', 'provider'] as const

/** Flags that speak of somebody else's cluster; --kubeconfig speaks of that of the cells too. */
const ofExisting = ['context', 'sshConfig', 'workloadImage', 'agentNamespace'] as const

const flagOf = (name: string): string => `--${name === 'snapshot' ? 'no-snapshot' : name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`

const isGiven = (parsed: Command, name: string): boolean => parsed.getOptionValueSource(name) === 'cli'

/** What `--cluster existing` and its flags say; undefined without it. Reads the files that they name. Throws usage errors. */
export function existingOptions(parsed: Command): ExistingOptions | undefined {
  const raw = parsed.opts<{ cluster?: string; kubeconfig?: string; context?: string; sshConfig?: string; workloadImage?: string; agentNamespace?: string }>()
  if (raw.cluster === undefined) {
    const stray = ofExisting.find((name) => isGiven(parsed, name))
    if (stray !== undefined) throw usageError(`${flagOf(stray)} goes with --cluster existing`, 'without it the cluster is made, and has a kubeconfig of its own (--keep leaves it up)')
    return undefined
  }
  if (raw.cluster !== 'existing') throw usageError(`--cluster ${raw.cluster}: takes existing${didYouMean(raw.cluster, ['existing'])}`, 'without it the run makes its own cluster')
  const stray = ofOurs.find((name) => isGiven(parsed, name))
  if (stray !== undefined) throw usageError(`${flagOf(stray)} does not go with --cluster existing: its machines, their kernels and its agent are as they are`, 'leave the flag out')
  if (raw.kubeconfig === undefined) throw usageError('--cluster existing needs --kubeconfig FILE', 'kops export kubecfg, minikube, kind get kubeconfig and /etc/kubernetes/admin.conf of kubeadm give one')
  readKubeconfig(raw.kubeconfig, raw.context)
  if (raw.sshConfig !== undefined) readSshConfig(raw.sshConfig)
  return {
    kubeconfig: resolve(raw.kubeconfig), workloadImage: raw.workloadImage ?? workloadRef,
    ...(raw.context === undefined ? {} : { context: raw.context }),
    ...(raw.sshConfig === undefined ? {} : { sshConfig: resolve(raw.sshConfig) }),
    ...(raw.agentNamespace === undefined ? {} : { agentNamespace: raw.agentNamespace }),
  }
}

/** Checks that an agent can be found there; answers what `--agent` means in every folder. */
export async function checkFoundAgent(agent: string, options: AgentOptions): Promise<string> {
  const driver = await loadDriver(agent)
  checkAgentOptions(driver, options, { found: true })
  foundBy(driver, options)
  return driverSpec(agent)
}
