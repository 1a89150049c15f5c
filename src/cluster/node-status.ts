import { z } from 'zod'
import type { Api } from './api.ts'

const node = z.object({
  spec: z.object({ podCIDR: z.string().optional() }).optional(),
  status: z.object({ conditions: z.array(z.object({ type: z.string(), status: z.string(), reason: z.string().optional(), message: z.string().optional() })).optional() }).optional(),
})
export type NodeStatus = z.infer<typeof node>

/** The node object, or undefined when there is none. */
export async function nodeStatus(api: Api, name: string): Promise<NodeStatus | undefined> {
  const { status, body } = await api.get(`/api/v1/nodes/${name}`)
  if (status === 404) return undefined
  if (status !== 200) throw new Error(`the API server answers ${status}: ${body.slice(0, 200)}`)
  return node.parse(JSON.parse(body))
}

export const conditionOf = (from: NodeStatus | undefined, type: string) => from?.status?.conditions?.find((condition) => condition.type === type)

const lease = z.object({ spec: z.object({ renewTime: z.coerce.date().optional() }).optional() })

/** When a node's kubelet last renewed its lease, by the node's clock; undefined when it never did. */
export async function leaseRenewal(api: Api, name: string): Promise<Date | undefined> {
  const { status, body } = await api.get(`/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/${name}`)
  return status === 200 ? lease.parse(JSON.parse(body)).spec?.renewTime : undefined
}
