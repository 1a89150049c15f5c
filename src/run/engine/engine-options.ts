import { existsSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { usageError } from '../../core/errors.ts'
import { engineImageRef } from './pod-places.ts'

/** A cluster that cells run on, as Jobs. */
export interface KubernetesEngineOptions {
  /** Absolute path. Its current context is used. */
  readonly kubeconfig: string
  readonly image: string
  /** Default: that of the kubeconfig's context. */
  readonly namespace?: string
  /** Where the cache is kept between cells; absent: it goes with the pod. */
  readonly cache?: { readonly hostPath: string } | { readonly claim: string }
  /** How pods get /dev/kvm; absent: not at all, machines are emulated. */
  readonly kvm?: { readonly resource: string } | { readonly device: string }
  /** Time that a cell has, from when its pod was made. */
  readonly deadlineMinutes: number
}

/** What the flags say, before they are checked. */
export interface RawEngineOptions {
  readonly engine: 'local' | 'kubernetes'
  readonly kubeconfig?: string
  readonly engineImage?: string
  readonly engineNamespace?: string
  readonly engineCache?: string
  readonly engineKvm?: string
  readonly engineDeadline?: number
}

/** The flags that say where cells run. */
export function engineFlags(program: Command): Command {
  return program
    .addOption(new Option('--engine <kind>', 'where the cells run: processes here, or Jobs of a cluster').choices(['local', 'kubernetes']).default('local'))
    .option('--kubeconfig <file>', 'the cluster of --cluster existing, or of --engine kubernetes by the current context of this file')
    .option('--engine-image <ref>', `image of the pods (npm run engine-image; default: ${engineImageRef})`)
    .option('--engine-namespace <name>', "namespace of the Jobs (default: that of the kubeconfig's context)")
    .option('--engine-cache <where>', 'keep the cache between cells: pvc:NAME, or a folder of the nodes')
    .option('--engine-kvm <how>', 'a device-plugin resource that gives /dev/kvm (devices.kubevirt.io/kvm), or /dev/kvm itself for a privileged pod')
    .option('--engine-deadline <minutes>', 'time a cell has on the cluster (default: 120)', (value) => {
      const n = Number(value)
      if (!Number.isInteger(n) || n < 1 || n > 1440) throw new InvalidArgumentError('takes a whole number from 1 to 1440.')
      return n
    })
}

/** Throws a usage error for flags that don't go together; undefined for the engine that is this host. */
export function kubernetesOptions(raw: RawEngineOptions): KubernetesEngineOptions | undefined {
  const flags = { kubeconfig: raw.kubeconfig, 'engine-image': raw.engineImage, 'engine-namespace': raw.engineNamespace, 'engine-cache': raw.engineCache, 'engine-kvm': raw.engineKvm, 'engine-deadline': raw.engineDeadline }
  if (raw.engine === 'local') {
    const given = Object.entries(flags).find(([, value]) => value !== undefined)?.[0]
    if (given !== undefined) throw usageError(`--${given} goes with --engine kubernetes${given === 'kubeconfig' ? ' or --cluster existing' : ''}`, 'add the one that is meant, or leave it out')
    return undefined
  }
  if (raw.kubeconfig === undefined) throw usageError('--engine kubernetes needs --kubeconfig FILE', 'name the file whose current context is the cluster; none is taken from the environment')
  const kubeconfig = resolve(raw.kubeconfig)
  if (!existsSync(kubeconfig)) throw usageError(`--kubeconfig ${raw.kubeconfig} does not exist`)
  if (!statSync(kubeconfig).isFile()) throw usageError(`--kubeconfig ${raw.kubeconfig} is not a file`)
  if (raw.engineNamespace !== undefined && !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(raw.engineNamespace)) throw usageError(`--engine-namespace ${raw.engineNamespace} is no name of a namespace`, 'lower-case letters, digits and -, at most 63')
  return {
    kubeconfig,
    image: raw.engineImage ?? engineImageRef,
    ...(raw.engineNamespace === undefined ? {} : { namespace: raw.engineNamespace }),
    ...(raw.engineCache === undefined ? {} : { cache: cacheOf(raw.engineCache) }),
    ...(raw.engineKvm === undefined ? {} : { kvm: kvmOf(raw.engineKvm) }),
    deadlineMinutes: raw.engineDeadline ?? 120,
  }
}

function cacheOf(value: string): NonNullable<KubernetesEngineOptions['cache']> {
  if (value.startsWith('/')) return { hostPath: value }
  const [, claim] = /^pvc:([a-z0-9][a-z0-9.-]*)$/.exec(value) ?? []
  if (claim === undefined) throw usageError(`--engine-cache ${value} is neither pvc:NAME nor the absolute path of a folder`, 'e.g. pvc:kernelbed-cache, or /var/cache/kernelbed')
  return { claim }
}

function kvmOf(value: string): NonNullable<KubernetesEngineOptions['kvm']> {
  if (value.startsWith('/dev/')) return { device: value }
  if (!/^[a-z0-9.-]+\/[\w.-]+$/i.test(value)) throw usageError(`--engine-kvm ${value} is neither a resource like devices.kubevirt.io/kvm nor a device like /dev/kvm`)
  return { resource: value }
}
