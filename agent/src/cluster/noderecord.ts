import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AgentConfig } from '../config/agent.ts'
import { replaceFile } from '../files.ts'
import type { Node } from '../k8s/types.ts'
import type { LocalNode, localNode } from './node.ts'

/** This Node as it was last known, in a file of the state folder: a later agent may start while the API server is away. The folder is as old as the machine's last boot. */
export class NodeRecord {
  readonly name: string
  readonly #file: string
  readonly #describe: (node: Node) => LocalNode | undefined

  constructor(config: AgentConfig, describe: typeof localNode) {
    this.name = config['node-name']
    this.#file = join(config['state-dir'], 'node.json')
    this.#describe = (node) => describe(node, { mode: config['enable-ipv6'], clusterCIDR: config['ipv6-cluster-alloc-cidr'], serviceCIDR: config['ipv6-service-range'] })
    mkdirSync(config['state-dir'], { recursive: true })
  }

  /** Undefined while it lacks what an agent needs; else it is written down. */
  describe(node: Node): LocalNode | undefined {
    const self = this.#describe(node)
    if (self !== undefined) replaceFile(this.#file, JSON.stringify({ metadata: { name: node.metadata.name }, spec: node.spec, status: { addresses: node.status?.addresses } }))
    return self
  }

  /** As it was written down; undefined when it wasn't. */
  last(): LocalNode | undefined {
    try {
      return this.#describe(JSON.parse(readFileSync(this.#file, 'utf8')) as Node)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError) return undefined
      throw error
    }
  }

  /** Whether a node of which `self` was worked out is the same now; what it is now is written down. */
  isStill(self: LocalNode, node: Node | undefined): boolean {
    return node !== undefined && JSON.stringify(this.describe(node)) === JSON.stringify(self)
  }
}
