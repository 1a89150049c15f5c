import { ApiException, VersionApi } from '@kubernetes/client-node'
import { KernelbedError } from '../../core/errors.ts'
import type { KubeContext } from './kubeconfig.ts'

const answerMs = 15_000

/** Asks the API server for its version: `v1.20.2`. Throws KernelbedError when nobody answers, or the user is not accepted. */
export async function serverVersion(context: KubeContext): Promise<string> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`no answer within ${answerMs / 1000} s`)), answerMs)
  try {
    return (await Promise.race([context.config.makeApiClient(VersionApi).getCode(), late])).gitVersion
  } catch (error) {
    throw explained(error, context)
  } finally {
    clearTimeout(timer)
  }
}

/** What went wrong with a request, for people. */
export function apiMessage(error: unknown): string {
  if (error instanceof ApiException) {
    const said = /^Message: (.*)$/m.exec(error.message)?.[1] ?? `HTTP ${error.code}`
    try {
      return (JSON.parse(String(error.body)) as { message?: string }).message ?? said
    } catch {
      return said
    }
  }
  if (!(error instanceof Error)) return String(error)
  // "fetch failed": the cause is what tells.
  return (error.cause instanceof Error && error.cause.message) || error.message || error.name
}

function explained(error: unknown, { name, server, user }: KubeContext): KernelbedError {
  const where = `the API server ${server} of context ${name}`
  if (error instanceof ApiException && (error.code === 401 || error.code === 403)) {
    return new KernelbedError(`${where} does not accept ${user}: ${apiMessage(error)}`, { blame: 'cluster', hint: 'its certificate or token may have expired: get a new kubeconfig, or choose another context with --context' })
  }
  return new KernelbedError(`${where} does not answer: ${apiMessage(error)}`, { blame: 'cluster', hint: 'is the cluster up, and this host in its reach (VPN, tunnel)? kubectl --kubeconfig FILE version says the same' })
}
