import type { ServiceAddresses, ServiceModel } from '../api/models.ts'
import { isGiven, type ParsedFlags } from '../config/flags.ts'
import { ask } from './ask.ts'
import { AgentError, call, get } from './client.ts'
import { CommandError, type Group } from './command.ts'
import { outputFlags, render } from './output.ts'
import { canonical } from '../cluster/cidr.ts'
import { hostPort, splitHostPort } from '../text/hostport.ts'
import { serviceTable } from './tables.ts'

/** `cilium service`: those of Kubernetes are shown, others can be made. */
export const service: Group = {
  short: 'Manage services & loadbalancers',
  commands: {
    list: {
      short: 'List services', flags: outputFlags,
      run: async (parsed) => render(parsed, await ask('Cannot get services list', () => get<ServiceModel[]>('/v1/service')), (it) => serviceTable(it.map(({ status }) => status.realized))),
    },
    get: { short: 'Display service information', usage: '<service id>', args: { min: 1, max: 1 }, flags: outputFlags, run: getService },
    update: {
      short: 'Update a service',
      flags: {
        id: { type: 'number', usage: 'Identifier' }, frontend: { type: 'string', usage: 'Frontend address (<IP>:<Port>[/UDP])' }, backends: { type: 'list', usage: 'Backend address or addresses (<IP>:<Port>[/weight])' },
        'session-affinity': { type: 'number', usage: 'Seconds that a client keeps its backend' }, rev: { type: 'bool', usage: 'Add reverse translation (always done)' },
      },
      run: update,
    },
    delete: { short: 'Delete a service', usage: '{ <service id> | --all }', args: { max: 1 }, flags: { all: { type: 'bool', usage: 'Delete all services made by hand' } }, run: remove },
  },
}

const pathOf = (id: string | number) => `/v1/service/${encodeURIComponent(String(id))}`

async function getService(parsed: ParsedFlags): Promise<string> {
  const id = parsed.args[0]!
  return render(parsed, await ask(`Cannot get service '${id}'`, () => get<ServiceModel>(pathOf(id))), ({ status: { realized } }) => {
    const { 'frontend-address': { ip, port }, 'backend-addresses': backends } = realized
    return `${hostPort(ip, port)} =>\n${backends.map((backend) => `\t\t${hostPort(backend.ip, backend.port)} (${realized.id})\n`).join('')}`
  })
}

async function update(parsed: ParsedFlags): Promise<string> {
  const one = (name: string) => parsed.values.get(name)?.at(-1)
  const id = Number(one('id') ?? 0)
  if (id < 1) throw new CommandError('Missing or invalid id: --id takes a number from 1 to 65535')
  const old = await get<ServiceModel>(pathOf(id)).then(({ status }) => status.realized, () => undefined)
  const frontend = one('frontend') === undefined ? old?.['frontend-address'] : toFrontend(one('frontend')!)
  if (frontend === undefined) throw new CommandError('Missing frontend: --frontend takes <IP>:<Port>')
  const backends = (parsed.values.get('backends') ?? []).filter((text) => text !== '').map(toBackend)
  const seconds = one('session-affinity')
  const affinity = seconds === undefined ? old?.affinity : Number(seconds)
  const spec: ServiceAddresses = { id, 'frontend-address': frontend, 'backend-addresses': backends, ...(affinity === undefined ? {} : { affinity }) }
  const { created } = await ask('Cannot add/update service', () => call<{ created: boolean }>('PUT', pathOf(id), spec))
  return `${old === undefined ? 'Creating new' : 'Updating existing'} service with id '${id}'\n${created ? 'Added' : 'Updated'} service with ${backends.length} backends\n`
}

async function remove(parsed: ParsedFlags): Promise<string> {
  const all = isGiven(parsed, 'all')
  if (!all && parsed.args.length === 0) throw new CommandError('Missing service id, or --all')
  const ids = all ? (await ask('Cannot get services list', () => get<ServiceModel[]>('/v1/service'))).map(({ spec }) => String(spec.id)) : parsed.args
  const lines: string[] = []
  for (const id of ids) {
    try {
      await call('DELETE', pathOf(id))
      lines.push(`Service ${id} deleted successfully\n`)
    } catch (error) {
      // Of all, those of Kubernetes stay.
      if (!(error instanceof AgentError) || error.status !== 403 || !all) throw new CommandError(`Cannot delete service ${id}: ${(error as Error).message}`)
    }
  }
  return lines.join('')
}

function toFrontend(text: string): ServiceAddresses['frontend-address'] {
  const { ip, port, rest } = splitHostPort(text) ?? { ip: '', port: 0, rest: '' }
  const [match, protocol = 'TCP'] = /^(?:\/(tcp|udp))?$/i.exec(rest) ?? []
  if (ip === '' || match === undefined) throw new CommandError(`Unable to parse frontend address ${JSON.stringify(text)}: must be <IP>:<Port>[/UDP], IPv6 as [fd00::1]:80`)
  return { ip: canonical(ip), port, protocol: protocol.toUpperCase() as 'TCP' | 'UDP' }
}

function toBackend(text: string): ServiceAddresses['backend-addresses'][number] {
  const { ip, port, rest } = splitHostPort(text) ?? { ip: '', port: 0, rest: '' }
  const [match, weight] = /^(?:\/(\d+))?$/.exec(rest) ?? []
  if (ip === '' || match === undefined) throw new CommandError(`Unable to parse backend address ${JSON.stringify(text)}: must be <IP>:<Port>[/weight], IPv6 as [fd00::1]:80`)
  return { ip: canonical(ip), port, ...(weight === undefined || weight === '1' ? {} : { weight: Number(weight) }) }
}
