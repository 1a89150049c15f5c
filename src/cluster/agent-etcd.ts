import { join } from 'node:path'
import type { Context } from '../core/context.ts'
import { leasePort } from '../core/ports.ts'
import { addresses } from './addresses.ts'
import type { AgentEtcdFiles } from './control-plane-args.ts'
import { createAuthority, type KeyPair } from './pki.ts'

/**
 * An etcd that a cluster offers to its agent (`AgentDriver.needsEtcd`). It is another than the cluster's own, which no node reaches: whoever writes there owns the cluster. Nodes reach it as
 * they reach the API server, by the node link. JSON, in `ClusterHandle`.
 */
export interface AgentEtcd {
  /** `https://172.31.255.1:2379`, on every node. */
  readonly endpoint: string
  /** PEM file of the CA that signed its certificate and its clients', and of nothing else. */
  readonly ca: string
  /** What the agent shows it; PEM files. */
  readonly client: KeyPair
  /** Socket of the node link, which can take it away (`turnWay`). */
  readonly link: string
}

/** What etcd is started with, and how the agent reaches it. Its keys are with the cluster's (`pki/etcd`), and go on with a snapshot. */
export async function prepareAgentEtcd(link: string, ctx: Context): Promise<{ readonly files: AgentEtcdFiles; readonly offered: AgentEtcd }> {
  const { host, port } = addresses.agentEtcd
  const endpoint = `https://${host}:${port}`
  const authority = createAuthority(join(ctx.dir, 'pki/etcd'))
  return {
    files: {
      dataDir: join(ctx.dir, 'agent-etcd'), port: await leasePort(ctx), peerUrl: 'unix://agent-etcd:2', endpoint, ca: authority.ca,
      serving: authority.issue('serving', { commonName: 'etcd', hosts: ['127.0.0.1', 'localhost', host] }),
    },
    offered: { endpoint, ca: authority.ca.cert, client: authority.issue('agent', { commonName: 'agent' }), link },
  }
}
