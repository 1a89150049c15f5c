import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { KubeConfig } from '@kubernetes/client-node'
import { didYouMean } from '../../core/closest.ts'
import { usageError } from '../../core/errors.ts'

/** Who asks which cluster: one context of the user's kubeconfig, and nothing else of it. */
export interface KubeContext { readonly name: string; readonly server: string; readonly user: string; readonly config: KubeConfig }

/** Reads a kubeconfig; `context` instead of its current one. Throws usage errors. */
export function readKubeconfig(path: string, context?: string): KubeContext {
  if (!existsSync(path)) throw usageError(`--kubeconfig ${path}: there is no such file`)
  const whole = new KubeConfig()
  try {
    whole.loadFromFile(path)
  } catch (error) {
    throw usageError(`--kubeconfig ${path} is no kubeconfig: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`)
  }
  const names = whole.getContexts().map(({ name }) => name)
  if (names.length === 0) throw usageError(`--kubeconfig ${path} has no context`, 'a kubeconfig has clusters, users, and contexts that join one of each: kubectl config view --kubeconfig FILE shows them')
  const name = context ?? whole.getCurrentContext()
  const chosen = whole.getContextObject(name)
  if (!chosen) throw usageError(context === undefined ? `--kubeconfig ${path} has no current context${name ? ` (it names "${name}", which is not there)` : ''}` : `--context ${name}: ${path} has no such context${didYouMean(name, names)}`, `choose one with --context: ${names.join(', ')}`)
  const [cluster, user] = [whole.getCluster(chosen.cluster), whole.getUser(chosen.user)]
  if (!cluster || !user) throw usageError(`--kubeconfig ${path}: context ${name} names the ${cluster ? `user ${chosen.user}` : `cluster ${chosen.cluster}`}, which is not there`, 'correct the file, or choose another context with --context')
  const config = new KubeConfig()
  config.loadFromOptions({ clusters: [cluster], users: [user], contexts: [chosen], currentContext: name })
  return { name, server: cluster.server, user: chosen.user, config }
}

/** Writes a context as a kubeconfig of the run (0600), for kubectl and for suites. Answers its path. */
export function writeContext({ config }: KubeContext, dir: string): string {
  const path = join(dir, 'kubeconfig')
  writeFileSync(path, config.exportConfig(), { mode: 0o600 })
  return path
}
