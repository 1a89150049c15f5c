import { join } from 'node:path'
import type { Context } from '../core/context.ts'
import type { Kubernetes } from '../image/types.ts'
import type { Machine } from '../machine/types.ts'
import { addresses } from './addresses.ts'
import type { Api } from './api.ts'
import { startControlPlane, type ControlPlane } from './control-plane.ts'
import { joinNode, waitNodesReady } from './join.ts'
import type { ClusterHandle } from './types.ts'

/** What is asked for. */
export interface ClusterSpec {
  readonly kubernetes: Kubernetes
  /** Machines, or promises of them: the control plane starts at once, and each machine joins as soon as it is up. */
  readonly machines: readonly (Machine | Promise<Machine>)[]
}

/** A cluster whose nodes are registered; they are Ready when a network is installed. */
export interface StartedCluster {
  readonly handle: ClusterHandle
  readonly machines: readonly Machine[]
  readonly api: Api
  readonly controlPlane: ControlPlane
  /** Throws with evidence when a program of the control plane has ended. */
  assertAlive(): void
  /** Resolves when every node is Ready: after the agent has written its CNI configuration. */
  waitNodesReady(): Promise<void>
}

/** Starts the control plane on this host and makes the machines its nodes. */
export async function startCluster({ kubernetes, machines }: ClusterSpec, ctx: Context): Promise<StartedCluster> {
  const starting = startControlPlane({ kubernetes }, ctx)
  const joined = await Promise.all(machines.map(async (promised) => {
    const [machine, plane] = await Promise.all([promised, starting])
    await joinNode(machine, plane, ctx)
    return machine
  }))
  const controlPlane = await starting
  return {
    handle: handleOf(controlPlane, joined), machines: joined, api: controlPlane.api, controlPlane,
    assertAlive: () => controlPlane.assertAlive(),
    waitNodesReady: () => waitNodesReady(joined, controlPlane, ctx),
  }
}

function handleOf({ kubernetes, kubeconfig }: ControlPlane, machines: readonly Machine[]): ClusterHandle {
  return {
    kubeconfig, kubectl: join(kubernetes.bin, 'kubectl'), version: kubernetes.version, nodes: machines.map(({ handle }) => handle),
    podCidr: addresses.podCidr, serviceCidr: addresses.serviceCidr, nodeApi: addresses.nodeApi,
  }
}
