import type { PrefilterModel } from '../api/models.ts'
import type { Flags, ParsedFlags } from '../config/flags.ts'
import { ask, fetch } from './ask.ts'
import { call } from './client.ts'
import { CommandError, type Group } from './command.ts'
import { outputFlags, render } from './output.ts'

const flags: Flags = { cidr: { type: 'list', usage: 'List of CIDR prefixes' }, revision: { type: 'number', usage: 'Revision that the change is made for; 0 for whichever it is' } }

const listed = ({ status: { realized } }: PrefilterModel): string => [`Revision: ${realized.revision}`, ...realized.deny, ''].join('\n')

/** `cilium prefilter`: prefixes that are denied ahead of everything else, by XDP. */
export const prefilter: Group = {
  short: 'Manage XDP CIDR filters',
  commands: {
    list: { short: 'List CIDR filters', flags: outputFlags, run: async (parsed) => render(parsed, await fetch<PrefilterModel>('/v1/prefilter', 'Cannot get CIDR list'), listed) },
    update: { short: 'Update CIDR filters', flags, run: async (parsed) => listed(await ask('Cannot update CIDR list', () => call<PrefilterModel>('PATCH', '/v1/prefilter', requestOf(parsed)))) },
    delete: { short: 'Delete CIDR filters', flags, run: async (parsed) => listed(await ask('Cannot delete from CIDR list', () => call<PrefilterModel>('DELETE', '/v1/prefilter', requestOf(parsed)))) },
  },
}

function requestOf({ values }: ParsedFlags): { revision: number; deny: string[] } {
  const deny = (values.get('cidr') ?? []).filter((text) => text !== '')
  if (deny.length === 0) throw new CommandError('No CIDR specified: --cidr 10.9.0.0/16')
  return { revision: Number(values.get('revision')?.at(-1) ?? 0), deny }
}
