import { join } from 'node:path'
import type { Context } from '../core/context.ts'
import type { Kubernetes } from '../image/types.ts'
import { thawMachine } from '../machine/index.ts'
import type { Machine } from '../machine/types.ts'
import { addresses } from './addresses.ts'
import type { Api } from './api.ts'
import { startControlPlane, type ControlPlane } from './control-plane.ts'
import { joinNode, linkNode, rejoinNode, waitNodesReady } from './join.ts'
import { saveState } from './snapshot.ts'
import type { ClusterHandle } from './types.ts'

/** What is asked for. */
export interface ClusterSpec {
  readonly kubernetes: Kubernetes
  /** Machines, or promises of them: the control plane starts at once, and each machine joins as soon as it is up. */
  readonly machines: readonly (Machine | Promise<Machine>)[]
  /** An etcd for the agent too (`ClusterHandle.etcd`). */
  readonly agentEtcd?: boolean
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
export async function startCluster({ kubernetes, machines, agentEtcd = false }: ClusterSpec, ctx: Context): Promise<StartedCluster> {
  const { plane: starting } = startControlPlane({ kubernetes, agentEtcd }, ctx)
  const joined = await Promise.all(machines.map(async (promised) => {
    const [machine, plane] = await Promise.all([promised, starting])
    await joinNode(machine, plane, ctx)
    return machine
  }))
  return clusterOf(joined, await starting, ctx)
}

/** A cluster that goes on from where it was saved. */
export interface RestoredClusterSpec {
  readonly kubernetes: Kubernetes
  /** Folder that saveControlPlane filled. */
  readonly saved: string
  /** Restores the machines, whose processes stand still (restoreMachine). Aborted by the context that it is given. */
  readonly machines: (ctx: Context) => readonly Promise<Machine>[]
  /** It was saved with an etcd for the agent. */
  readonly agentEtcd?: boolean
}

/**
 * Starts a saved control plane and takes its nodes, restored too, back; resolves when each has renewed its lease and is Ready. When a part of it
 * fails, it rejects after the others have ended: what they hold can be released, and nothing of them is in the way of another attempt.
 */
export async function restoreCluster({ kubernetes, saved, machines, agentEtcd = false }: RestoredClusterSpec, ctx: Context): Promise<StartedCluster> {
  const failed = new AbortController()
  const attempt: Context = { ...ctx, signal: AbortSignal.any([ctx.signal, failed.signal]) }
  const since = new Date()
  const { link, plane: starting } = startControlPlane({ kubernetes, saved, agentEtcd }, attempt)
  const linking = machines(attempt).map(async (promised) => {
    const machine = await promised
    await linkNode(machine, await link)
    return machine
  })
  const joining = linking.map(async (linked) => {
    const [machine, plane] = await Promise.all([linked, starting])
    await thawMachine(machine, attempt)
    await rejoinNode(machine, plane, since, attempt)
    return machine
  })
  try {
    return clusterOf(await Promise.all(joining), await starting, ctx)
  } catch (error) {
    failed.abort()
    await Promise.allSettled([starting, ...linking, ...joining])
    throw error
  }
}

/** Ends a control plane whose nodes are paused, and saves it into a folder. */
export async function saveControlPlane({ controlPlane: { services, link } }: StartedCluster, dir: string, ctx: Context): Promise<void> {
  // etcd last, so that nothing finds it gone.
  for (const service of [link.service, ...[...services].sort((a, b) => Number(a.name === 'etcd') - Number(b.name === 'etcd'))]) await service.stop()
  saveState(dir, ctx)
}

function clusterOf(machines: readonly Machine[], controlPlane: ControlPlane, ctx: Context): StartedCluster {
  return {
    handle: handleOf(controlPlane, machines), machines, api: controlPlane.api, controlPlane,
    assertAlive: () => controlPlane.assertAlive(),
    waitNodesReady: () => waitNodesReady(machines, controlPlane, ctx),
  }
}

function handleOf({ kubernetes, kubeconfig, etcd }: ControlPlane, machines: readonly Machine[]): ClusterHandle {
  return {
    kubeconfig, kubectl: join(kubernetes.bin, 'kubectl'), version: kubernetes.version, nodes: machines.map(({ handle }) => handle),
    podCidr: addresses.podCidr, serviceCidr: addresses.serviceCidr, dns: addresses.dns, nodeApi: addresses.nodeApi, ...(etcd ? { etcd } : {}),
  }
}
