import type { Context } from '../core/context.ts'
import { waitFor } from '../core/wait.ts'
import { addresses } from './addresses.ts'
import type { Api } from './api.ts'

/**
 * Writes the endpoints of the `kubernetes` service: the address that every node has for the API server. The API server's own reconciler is
 * off because it would write the port that it listens on here, which is another one. It makes the service itself.
 */
export async function writeKubernetesEndpoints(api: Api, ctx: Context): Promise<void> {
  const { host, port } = addresses.nodeApi
  const body = {
    apiVersion: 'v1', kind: 'Endpoints', metadata: { name: 'kubernetes', namespace: 'default' },
    subsets: [{ addresses: [{ ip: host }], ports: [{ name: 'https', port, protocol: 'TCP' }] }],
  }
  const path = '/api/v1/namespaces/default/endpoints'
  // The API server makes the default namespace a moment after it says that it is ready.
  await waitFor({ name: 'the endpoints of the kubernetes service', timeoutMs: 20_000, intervalMs: 50, signal: ctx.signal, blame: 'cluster' }, async () => {
    const made = await api.send('POST', path, body)
    // There already when the control plane was restored from a snapshot.
    const answer = made.status === 409 ? await api.send('PUT', `${path}/kubernetes`, body) : made
    return answer.status < 300 ? { done: undefined } : { seen: `${answer.status}: ${answer.body.slice(0, 300)}` }
  })
}
