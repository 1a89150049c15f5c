import type { ConfigModel, EndpointModel, IdentityModel, StatusModel } from '../api/models.ts'
import { isGiven, type ParsedFlags } from '../config/flags.ts'
import type { ConntrackEntry, MapFill, ServiceSpec, TunnelEntry } from '../datapath/types.ts'
import { parseLabel } from '../identity/labels.ts'
import { sortedJson } from '../text/gojson.ts'
import { version } from '../version.ts'
import { ask, fetch } from './ask.ts'
import { bugtool } from './bugtool.ts'
import { cleanup } from './cleanup.ts'
import { AgentError, call, get } from './client.ts'
import { CommandError, type Action, type Group } from './command.ts'
import { kvstore } from './kvstore.ts'
import { monitor, monitorFlags } from './monitor.ts'
import { endpointOperation, metrics, optionsOf } from './operation.ts'
import { outputFlags, render } from './output.ts'
import { policy } from './policy.ts'
import { prefilter } from './prefilter.ts'
import { service } from './service.ts'
import { briefText, partProblem, statusText } from './status.ts'
import * as tables from './tables.ts'

const one = { args: { min: 1, max: 1 } }

/** A command that prints what one call gives; `prefix` is what Cilium says before an error. */
function show<T>(short: string, path: string, prefix: string, text: (data: T) => string): Action {
  return { short, flags: outputFlags, run: async (parsed) => render(parsed, await fetch<T>(path, prefix), text) }
}

const identities = async (): Promise<Map<number, string[]>> => new Map((await get<IdentityModel[]>('/v1/identity')).map(({ id, labels }) => [id, labels]))

const status: Action = {
  short: 'Display status of daemon',
  flags: {
    ...outputFlags, brief: { type: 'bool', usage: 'Only print a one-line status message' }, 'all-controllers': { type: 'bool', usage: 'Show all controllers, not just failing' },
    'all-health': { type: 'bool', usage: 'Show all health status, not just failing' }, verbose: { type: 'bool', usage: 'Equivalent to --all-controllers --all-health' },
  },
  run: async (parsed) => {
    const brief = isGiven(parsed, 'brief')
    const model = await get<StatusModel>('/v1/healthz').catch((error: unknown) => {
      if (brief && error instanceof AgentError) throw new CommandError(`error in cilium: ${error.message}`)
      throw error
    })
    const line = briefText(model)
    if (brief && line !== 'OK') throw new CommandError(line)
    if (brief) return `${line}\n`
    const text = render(parsed, model, (it) => statusText(it, { allControllers: isGiven(parsed, 'all-controllers') || isGiven(parsed, 'verbose'), allHealth: isGiven(parsed, 'all-health') || isGiven(parsed, 'verbose'), now: Date.now() }))
    const problem = partProblem(model)
    if (problem !== undefined) throw new CommandError(problem, text)
    return text
  },
}

const config: Action = {
  short: 'Cilium configuration options', usage: '[<option>=(enable|disable) ...]', args: { max: 16 }, flags: outputFlags,
  run: async (parsed) => {
    if (parsed.args.length === 0) return render(parsed, await fetch<ConfigModel>('/v1/config', 'Error while retrieving configuration'), tables.configList)
    await ask('Unable to change agent configuration', () => call('PATCH', '/v1/config', optionsOf(parsed.args)))
    return ''
  },
}

/** Those that have all of the labels; a label without a source is of any. */
function withLabels<T>(items: readonly T[], wanted: readonly string[], labelsOf: (item: T) => readonly string[]): T[] {
  const [labels, text] = [wanted.map(parseLabel), ({ source, key, value }: ReturnType<typeof parseLabel>) => `${source}:${key}=${value}`]
  return items.filter((item) => {
    const own = labelsOf(item).map(parseLabel)
    return labels.every((label) => own.some((it) => text({ ...it, source: label.source === '' ? '' : it.source }) === text(label)))
  })
}

async function endpointsOf(parsed: ParsedFlags): Promise<EndpointModel[]> {
  const labels = parsed.values.get('labels'), id = parsed.args[0]
  if ((id === undefined) === (labels === undefined)) throw new CommandError('An endpoint identifier, or -l with labels, is required')
  if (labels === undefined) return [await fetch<EndpointModel>(`/v1/endpoint/${encodeURIComponent(id!)}`, `Cannot get endpoint ${id}`)]
  const found = withLabels(await fetch<EndpointModel[]>('/v1/endpoint', 'Cannot get endpoints'), labels, ({ status: it }) => it.labels['security-relevant'])
  if (found.length === 0) throw new CommandError(`Cannot get endpoints for given list of labels ${labels.join(', ')}: none has them`)
  return found
}

async function identitiesOf(parsed: ParsedFlags): Promise<IdentityModel[]> {
  const labels = parsed.values.get('label'), id = parsed.args[0]
  if ((id === undefined) === (labels === undefined)) throw new CommandError('An identity, or --label, is required')
  if (labels === undefined) return [await fetch<IdentityModel>(`/v1/identity/${encodeURIComponent(id!)}`, `Cannot get identity for given ID ${id}`)]
  const found = withLabels(await fetch<IdentityModel[]>('/v1/identity', 'Cannot get identities'), labels, (it) => it.labels)
  if (found.length === 0) throw new CommandError(`Cannot get identity for given labels ${labels.join(', ')}: none has them`)
  return found
}

const endpoint: Group = {
  short: 'Manage endpoints',
  commands: {
    list: show<EndpointModel[]>('List all endpoints', '/v1/endpoint', 'cannot get endpoint list', tables.endpointTable),
    get: {
      short: 'Display endpoint information', usage: '( <endpoint identifier> | -l <endpoint labels> )', args: { max: 1 }, flags: { ...outputFlags, labels: { type: 'list', short: 'l', usage: 'list of labels' } },
      run: async (parsed) => render(parsed, await endpointsOf(parsed), (it) => sortedJson(it, 2) + '\n'),
    },
    ...endpointOperation,
    log: { short: 'View endpoint status log', usage: '<endpoint id>', ...one, flags: outputFlags, run: async (parsed) => render(parsed, (await fetch<EndpointModel>(`/v1/endpoint/${encodeURIComponent(parsed.args[0]!)}`, `Cannot get endpoint log ${parsed.args[0]}`)).status.log, tables.endpointLog) },
  },
}

const identity: Group = {
  short: 'Manage security identities',
  commands: {
    list: {
      short: 'List identities', usage: '[LABELS]', args: { max: 64 }, flags: outputFlags,
      run: async (parsed) => render(parsed, withLabels(await fetch<IdentityModel[]>('/v1/identity', 'Cannot get identities'), parsed.args, (it) => it.labels), tables.identityTable),
    },
    get: {
      short: 'Retrieve information about an identity', usage: '( <identity> | --label <label> )', args: { max: 1 }, flags: { ...outputFlags, label: { type: 'list', usage: 'Label to lookup' } },
      run: async (parsed) => render(parsed, await identitiesOf(parsed), tables.identityTable),
    },
  },
}

const numeric = { numeric: { type: 'bool', short: 'n', usage: 'Do not resolve IDs' } } as const
const policyMaps = async (parsed: ParsedFlags, path: string, text: (maps: tables.PolicyMap[], labels: Map<number, string[]> | undefined) => string): Promise<string> => {
  const maps = [await fetch<tables.PolicyMap | tables.PolicyMap[]>(path, 'Cannot get policy map')].flat()
  const labels = isGiven(parsed, 'numeric') ? undefined : await identities()
  return render(parsed, maps, (it) => text(it, labels))
}

const allPolicyMaps = (parsed: ParsedFlags): Promise<string> =>
  policyMaps(parsed, '/v1/map/policy', (maps, labels) => maps.map((map) => `Endpoint ID: ${map.id}\n\n${tables.policyTable(map, labels)}\n`).join(''))

const map: Group = {
  short: 'Access BPF maps',
  commands: { list: show<{ maps: MapFill[] }>('List all open BPF maps', '/v1/map', 'Cannot get map list', ({ maps }) => tables.mapList(maps)) },
}

const bpf: Group = {
  short: 'Direct access to local BPF maps',
  commands: {
    tunnel: { short: 'Tunnel endpoint map', commands: { list: show<TunnelEntry[]>('List tunnel endpoint entries', '/v1/map/tunnel', 'Unable to open map', tables.tunnelTable) } },
    lb: {
      short: 'Load-balancing configuration',
      commands: {
        list: {
          short: 'List load-balancing configuration', flags: { ...outputFlags, revnat: { type: 'bool', usage: 'List reverse NAT entries' } },
          run: async (parsed) => {
            const services = await fetch<ServiceSpec[]>('/v1/map/lb', 'Unable to open map')
            return isGiven(parsed, 'revnat') ? render(parsed, tables.revnat(services), tables.revnatTable) : render(parsed, services, tables.lbTable)
          },
        },
      },
    },
    ct: {
      short: 'Connection tracking tables',
      commands: { list: { short: 'List connection tracking entries', usage: '( <endpoint identifier> | global )', ...one, flags: outputFlags, run: async (parsed) => render(parsed, await fetch<ConntrackEntry[]>(`/v1/map/ct/${encodeURIComponent(parsed.args[0]!)}`, 'Unable to open map'), tables.conntrackList) } },
    },
    ipcache: { short: 'Manage the IPCache mappings for IP/CIDR <-> Identity', commands: { list: show<{ ip: string; identity: number; node?: string }[]>('List endpoint IPs (local and remote) and their corresponding security identities', '/v1/map/ipcache', 'Unable to open map', tables.ipcacheTable) } },
    endpoint: { short: 'Local endpoint map', commands: { list: show<tables.EndpointMap>('List local endpoint entries', '/v1/map/endpoint', 'Unable to open map', tables.bpfEndpointTable) } },
    metrics: { short: 'BPF datapath traffic metrics', commands: { list: show<Parameters<typeof tables.metricsTable>[0]>('List BPF datapath traffic metrics', '/v1/map/metrics', 'Unable to open map', tables.metricsTable) } },
    policy: {
      short: 'Manage policy related BPF maps',
      commands: {
        get: {
          short: 'List contents of a policy BPF map', usage: '<endpoint id>', args: { max: 1 }, flags: { ...outputFlags, ...numeric, all: { type: 'bool', usage: 'Dump all policy maps' } },
          run: (parsed) => {
            if (isGiven(parsed, 'all')) return allPolicyMaps(parsed)
            if (parsed.args[0] === undefined) throw new CommandError('Please provide endpoint ID or --all')
            return policyMaps(parsed, `/v1/map/policy/${encodeURIComponent(parsed.args[0])}`, ([map], labels) => tables.policyTable(map!, labels))
          },
        },
        list: { short: 'List contents of all policy BPF maps', flags: { ...outputFlags, ...numeric }, run: allPolicyMaps },
      },
    },
  },
}

export const root: Group = {
  short: 'CLI for interacting with the local Cilium Agent',
  commands: {
    status, config, metrics, bugtool, cleanup, prefilter, kvstore, endpoint, identity, service, policy, bpf, map,
    node: { short: 'Manage cluster nodes', commands: { list: show<Parameters<typeof tables.nodeTable>[0]>('List nodes', '/v1/node', 'Cannot get node list', tables.nodeTable) } },
    monitor: { short: 'Display BPF program events', flags: monitorFlags, run: (parsed) => monitor(parsed) },
    version: { short: 'Print version information', run: async () => `Client: ${version} node ${process.version} linux/${process.arch}\nDaemon: ${await get<string>('/v1/version').catch(() => 'unreachable')} linux/${process.arch}\n` },
  },
}
