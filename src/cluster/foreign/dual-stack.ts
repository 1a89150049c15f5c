import type { KubeClient } from '../client.ts'
import { apiMessage } from './connect.ts'

/** Why services of a cluster get no IPv6 address, by asking for one without making it; undefined where they do. */
export async function lacksDualStack({ core }: Pick<KubeClient, 'core'>, namespace = 'default'): Promise<string | undefined> {
  try {
    const body = { metadata: { generateName: 'kernelbed-' }, spec: { ports: [{ port: 80 }], ipFamilyPolicy: 'SingleStack', ipFamilies: ['IPv6'] } }
    const { spec } = await core.createNamespacedService({ namespace, dryRun: 'All', body })
    // An API server that doesn't know of families leaves them out.
    return spec?.clusterIP?.includes(':') ? undefined : `it gives a service that asks for one ${spec?.clusterIP}`
  } catch (error) {
    return `it refuses a service that asks for one: ${apiMessage(error)}`
  }
}
