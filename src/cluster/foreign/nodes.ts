import type { V1Node } from '@kubernetes/client-node'
import { KernelbedError } from '../../core/errors.ts'
import { findInCatalogue, lineOf } from '../../kernels/index.ts'
import type { NodeHandle } from '../../machine/types.ts'

/** A node as the API server tells of it. */
export interface SeenNode extends NodeHandle {
  /** Internal and external addresses, and names. */
  readonly addresses: readonly string[]
  readonly podCidr: string | undefined
  /** Why it is not Ready; undefined when it is. */
  readonly notReady?: string
}

export interface ChosenNodes {
  readonly nodes: readonly SeenNode[]
  /** Whether the agent must refuse their kernels. */
  readonly refuses: boolean
  /** `node3: not Ready: …`, for people. */
  readonly leftOut: readonly string[]
}

/** More would only be more of the same: suites send between two, and look at the agent on each. */
const mostNodes = 9

export function seenNode({ metadata, spec, status }: V1Node): SeenNode {
  const release = status?.nodeInfo?.kernelVersion ?? 'unknown'
  const line = lineOf(release)
  const addresses = (status?.addresses ?? [])
  const ready = status?.conditions?.find(({ type }) => type === 'Ready')
  return {
    name: metadata?.name ?? '', kernel: { name: line, release, line },
    address: addresses.find(({ type }) => type === 'InternalIP')?.address ?? '', addresses: [...new Set(addresses.map(({ address }) => address))], podCidr: spec?.podCIDR,
    ...(ready?.status === 'True' ? {} : { notReady: [ready?.reason, ready?.message].filter(Boolean).join(': ') || 'no status' }),
  }
}

/** By their names, those that take any pod before those that are tainted (control planes). */
const inOrder = (a: V1Node, b: V1Node): number => Number(isTainted(a)) - Number(isTainted(b)) || (a.metadata?.name ?? '').localeCompare(b.metadata?.name ?? '', 'en', { numeric: true })

const isTainted = ({ spec }: V1Node): boolean => (spec?.taints ?? []).some(({ effect }) => effect !== 'PreferNoSchedule')

/**
 * The nodes that suites run on: Linux, and Ready; where the agent must refuse every kernel, Ready or not, as they can't be. Throws KernelbedError when there
 * are not two.
 */
export function chooseNodes(all: readonly V1Node[]): ChosenNodes {
  const linux = all.filter(({ status }) => (status?.nodeInfo?.operatingSystem ?? 'linux') === 'linux')
  const seen = [...linux].sort(inOrder).map(seenNode)
  const isRefused = ({ kernel }: SeenNode): boolean => findInCatalogue(kernel.line)?.agent === 'refuses'
  const refuses = seen.length > 0 && seen.every(isRefused)
  const reason = (node: SeenNode): string | undefined => (refuses ? undefined : isRefused(node) ? `the agent must refuse its kernel, ${node.kernel.release}` : node.notReady && `not Ready: ${node.notReady}`)
  const usable = seen.filter((node) => reason(node) === undefined)
  const nodes = usable.slice(0, mostNodes)
  const leftOut = [...seen.flatMap((node) => (reason(node) === undefined ? [] : [`${node.name}: ${reason(node)}`])), ...usable.slice(mostNodes).map(({ name }) => `${name}: ${mostNodes} nodes are enough`)]
  if (nodes.length >= 2) return { nodes, refuses, leftOut }
  const details = leftOut.join('\n')
  if (nodes.length === 0) throw new KernelbedError(seen.length ? 'no node of the cluster can be used' : 'the cluster has no Linux nodes', { blame: 'cluster', details, hint: 'kubectl describe nodes says why they are not Ready' })
  throw new KernelbedError(`the suites need two nodes, and only ${nodes[0]!.name} can be used`, { blame: 'cluster', details, hint: 'join another node: half of what is tested happens between nodes' })
}
