import type { State, StatusModel } from '../api/models.ts'
import { hasFault } from '../fault.ts'
import { clusterHealth } from './health.ts'
import { tabulate } from '../text/tabwriter.ts'

/** `cilium status` as Cilium prints it; what lash hasn't is left out or Disabled. */
export function statusText(status: StatusModel, options: { allControllers: boolean; allHealth: boolean; now: number }): string {
  const { kvstore, kubernetes, cilium, nodeMonitor, ipam, controllers, proxy, prefilter } = status
  const failing = controllers.filter((it) => it.status['consecutive-failure-count'] > 0)
  const state = (name: string, { state, msg = '' }: State) => `${name}\t${state}\t${msg}`
  const head = tabulate([
    state('KVStore:', kvstore), state('ContainerRuntime:', status['container-runtime']), state('Kubernetes:', kubernetes),
    `Kubernetes APIs:\t[${(kubernetes['k8s-api-versions'] ?? []).map((name) => `"${name}"`).join(', ')}]`,
    state('Cilium:', cilium),
    nodeMonitor === undefined ? 'NodeMonitor:\tDisabled' : `NodeMonitor:\tListening for events on ${nodeMonitor.cpus} CPUs with ${nodeMonitor.npages}x${nodeMonitor.pagesize} of shared memory`,
    ...(nodeMonitor?.lost === undefined ? [] : [`\t${nodeMonitor.lost} events lost, 0 unknown notifications`]),
    state('Cilium health daemon:', status['cilium-health']),
    ...(ipam === undefined ? [] : [`IPv4 address pool:\t${ipam.ipv4.length}/${ipam.capacity} allocated`]),
    ...(ipam?.ipv6 === undefined ? [] : [`IPv6 address pool:\t${ipam.ipv6.length}/${ipam.capacity} allocated`]),
    `Controller Status:\t${controllers.length - failing.length}/${controllers.length} healthy`,
    ...(proxy === undefined ? [] : [`Proxy Status:\t${proxy.error === undefined ? 'OK' : 'Failure'}, ip ${proxy.ip}, port-range ${proxy['port-range']}${proxy.error === undefined ? '' : `: ${proxy.error}`}`]),
    ...(prefilter === undefined ? [] : [`XDP prefilter:\t${prefilter.mode}`]),
  ])
  const shown = options.allControllers ? controllers : failing
  return head + (shown.length === 0 ? '' : controllerTable(shown, options.now)) + (status.cluster === undefined ? '' : clusterHealth(status.cluster, options.allHealth))
}

function controllerTable(controllers: StatusModel['controllers'], now: number): string {
  const rows = controllers.map(({ name, status }) => {
    const ago = (time: string | undefined) => (time === undefined ? 'never' : `${goDuration(Math.floor((now - Date.parse(time)) / 1000))} ago`)
    return `  ${name}\t${ago(status['last-success-timestamp'])}\t${ago(status['last-failure-timestamp'])}\t${status['consecutive-failure-count']}\t${status['last-failure-msg'] ?? 'no error'}\t`
  })
  return tabulate(['  Name\tLast success\tLast error\tCount\tMessage', ...rows.sort()], { minWidth: 0 })
}

function goDuration(seconds: number): string {
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  return h > 0 ? `${h}h${m}m${s}s` : m > 0 ? `${m}m${s}s` : `${s}s`
}

/** `error in X: …` for a part that the agent can't do without, for which `cilium status` exits 1, as Cilium's does; a controller that fails is no such. */
export function partProblem(status: StatusModel): string | undefined {
  const parts: [string, State][] = [['kvstore', status.kvstore], ['container runtime', status['container-runtime']], ['kubernetes', status.kubernetes], ['cilium', status.cilium]]
  const found = parts.find(([, { state }]) => state === 'Warning' || state === 'Failure')
  return found === undefined ? undefined : `error in ${found[0]}: ${found[1].msg ?? ''}`
}

/** `OK`, or `error in X: …`; the first thing that is wrong, failing controllers too. */
export function briefText(status: StatusModel): string {
  if (hasFault('status-hides-failure')) return 'OK'
  const problem = partProblem(status)
  if (problem !== undefined) return problem
  const controller = status.controllers.find((it) => it.status['consecutive-failure-count'] > 0)
  return controller === undefined ? 'OK' : `error in controller ${controller.name}: ${controller.status['last-failure-msg'] ?? ''}`
}
