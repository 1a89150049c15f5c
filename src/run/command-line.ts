import { basename } from 'node:path'
import { defaultAgent } from '../agent/index.ts'
import { shellQuote } from '../core/shell-quote.ts'
import { workloadRef } from '../image/index.ts'
import type { ExistingOptions } from './existing-options.ts'
import type { E2eOptions } from './options.ts'

const quote = (text: string): string => (/^[\w./=:@,+-]+$/.test(text) ? text : shellQuote(text))

function existingArgs({ context, sshConfig, workloadImage, agentNamespace }: ExistingOptions): string[] {
  const given = { '--context': context, '--ssh-config': sshConfig, '--workload-image': workloadImage === workloadRef ? undefined : workloadImage, '--agent-namespace': agentNamespace }
  return Object.entries(given).flatMap(([flag, value]) => (value === undefined ? [] : [flag, value]))
}

/** The command that repeats one cell, on whatever host. */
export const commandOf = (kernel: string, options: E2eOptions): string => `npm run e2e -- ${argsOf(kernel, options).map(quote).join(' ')}`

/** Its arguments. */
export function argsOf(kernel: string, options: E2eOptions): string[] {
  const { existing } = options
  const args = existing ? ['--cluster', 'existing', '--kubeconfig', existing.kubeconfig, ...existingArgs(existing)] : options.mixed ? ['--nodes', kernel] : ['--kernel', kernel]
  if (options.modules !== undefined) args.push('--modules', options.modules)
  if (options.trustOnFirstUse) args.push('--trust-on-first-use')
  if (options.agent !== defaultAgent) args.push('--agent', options.agent)
  for (const source of options.agentGiven?.manifests ?? []) args.push('--agent-manifests', source)
  for (const path of options.agentGiven?.images ?? []) args.push('--agent-image', path)
  for (const [name, value] of Object.entries(options.agentGiven?.settings ?? {})) args.push('--agent-option', `${name}=${value}`)
  if (options.fault !== undefined) args.push('--fault', options.fault)
  if (options.kubernetes !== undefined) args.push('--kubernetes', options.kubernetes)
  for (const suite of options.suites) args.push('--suite', suite)
  if (options.test !== undefined) args.push('-t', options.test)
  if (options.bail) args.push('--bail')
  if (!options.mixed && options.nodes !== 2) args.push('--nodes', String(options.nodes))
  if (options.memoryMiB !== 1536) args.push('--memory', String(options.memoryMiB))
  if (options.cpus !== undefined) args.push('--cpus', String(options.cpus))
  if (options.provider !== 'qemu') args.push('--provider', options.provider)
  if (!options.snapshot) args.push('--no-snapshot')
  if (options.accel !== undefined) args.push('--accel', options.accel)
  return args
}

/** How results name the agent. */
export const agentName = ({ agent, fault }: Pick<E2eOptions, 'agent' | 'fault'>): string => {
  const name = basename(agent).replace(/\.[cm]?[jt]s$/, '')
  return fault === undefined ? name : `${name} with fault ${fault}`
}
