import { reachable, type HealthModel } from '../health/model.ts'
import { isGiven } from '../config/flags.ts'
import { tabulate } from '../text/tabwriter.ts'
import type { DaemonHealthModel } from '../api/models.ts'
import { ask, fetch } from './ask.ts'
import { call, get } from './client.ts'
import { CommandError, type Group } from './command.ts'
import { outputFlags, render } from './output.ts'
import { statusText } from './status.ts'

/** `cilium-health`. */
export const health: Group = {
  short: 'Cilium Health Client',
  commands: {
    status: {
      short: 'Display cilium connectivity to other nodes',
      flags: {
        ...outputFlags, probe: { type: 'bool', usage: 'Synchronously probe connectivity status' }, succinct: { type: 'bool', usage: 'Print the result succinctly (one node per line)' },
        verbose: { type: 'bool', usage: 'Print more information in results (always done)' },
      },
      run: async (parsed) => {
        const model = await ask('Cannot get status', () => (isGiven(parsed, 'probe') ? call<HealthModel | null>('PUT', '/v1/health/probe') : get<HealthModel | null>('/v1/health')))
        if (model === null) throw new CommandError('Cannot get status: nothing has been probed yet: cilium-health status --probe')
        return render(parsed, model, isGiven(parsed, 'succinct') ? (it) => clusterHealth(it, true) : healthText)
      },
    },
    get: {
      short: 'Display local cilium agent status', flags: outputFlags,
      run: async (parsed) => render(parsed, await fetch<DaemonHealthModel>('/v1/health/daemon', 'Cannot get health'), ({ cilium, uptime, 'system-load': load }) =>
        tabulate([`Daemon uptime:\t${uptime}`, `Node load:\t${load.last1min} ${load.last5min} ${load.last15min}`]) + statusText(cilium, { allControllers: false, allHealth: false, now: Date.now() })),
    },
    ping: { short: 'Check whether the cilium-health API is up', run: async () => { await ask('Cannot ping', () => get('/v1/healthz')); return 'OK\n' } },
  },
}

/** Node by node, way by way. */
export function healthText({ local, nodes, timestamp }: HealthModel): string {
  const lines = nodes.flatMap(({ name, host, endpoint }) => [
    `  ${name}${name === local.name ? ' (localhost)' : ''}:`,
    ...([['Host', host['primary-address']], ['Endpoint', endpoint]] as const).flatMap(([what, path]) => [`    ${what} connectivity to ${path.ip}:`, `      ICMP to stack:\t${probeText(path.icmp)}`, `      HTTP to agent:\t${probeText(path.http)}`]),
  ])
  return tabulate([`Probe time:\t${timestamp}`, 'Nodes:', ...lines])
}

const probeText = ({ status, latency }: { status: string; latency: number }): string => (status === '' ? `OK, RTT=${rtt(latency)}` : status)

/** A duration as Go prints it. */
const rtt = (nanoseconds: number): string => (nanoseconds < 1e6 ? `${nanoseconds / 1e3}µs` : nanoseconds < 1e9 ? `${nanoseconds / 1e6}ms` : `${nanoseconds / 1e9}s`)

/** The lines of `cilium status`; nodes only where one can't be reached, unless `all`. */
export function clusterHealth({ local, nodes, timestamp }: HealthModel, all: boolean): string {
  const rows = nodes.map(({ name, host, endpoint }) => ({ name, ip: host['primary-address'].ip, host: reachable(host['primary-address']), endpoint: reachable(endpoint) }))
  const good = rows.filter((row) => row.host && row.endpoint).length
  const table = good < rows.length || all ? ['  Name\tIP\tReachable\tEndpoints reachable', ...rows.map((row) => `  ${row.name}${row.name === local.name ? ' (localhost)' : ''}\t${row.ip}\t${row.host}\t${row.endpoint}`)] : []
  return tabulate([`Cluster health:\t${good}/${rows.length} reachable\t(${timestamp})`, ...table])
}
